"""Rendering rows of a dataset as batches for a detector, with their boxes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tinyrefinery.data import transforms
from tinyrefinery.data.augmentation import Crops
from tinyrefinery.data.batches import IMAGENET_MEAN, IMAGENET_STD, Batch
from tinyrefinery.data.images import ChangedImageError
from tinyrefinery.detection import augment
from tinyrefinery.detection.boxes import BoxData, GroundTruth
from tinyrefinery.errors import DataError
from tinyrefinery.recipe.detection import Augment

LEAST = 1.0  # smallest width and height of a box in pixels of the input; smaller ones are dropped
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class BoxView:
    """Images under one kind of augmentation. Renders rows of an epoch as pixels and boxes.

    The `labels` of its batches are the ground-truth boxes, (B, M, 5) float32: x1, y1, x2, y2 in
    pixels of the input, and the class from 1. M is the largest number of boxes per image in the
    batch, at least 1. Images with fewer boxes are padded with zeros, class 0.
    """

    data: BoxData
    size: int
    """Height and width of the input in pixels. Images are stretched to it."""
    spec: Augment | None = None
    """None for whole images, as for evaluation."""
    seed: int = 0
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    device: torch.device = _CPU

    def crops(self, rows: np.ndarray, epoch: int) -> Crops:
        """Draw the augmentation of these rows in this epoch."""
        sizes = self.data.images.sizes[rows]
        if self.spec is None:
            return augment.whole(sizes)
        boxes = [self.data.truth[row].boxes for row in rows]
        return augment.draw(self.spec, self.seed, epoch, rows, sizes, boxes)

    def render_many(
        self, rows: np.ndarray, epochs: Sequence[int], draws: Sequence[Crops] | None = None
    ) -> list[Batch]:
        """Render these rows in several epochs, one batch per epoch."""
        rows = np.asarray(rows, np.int64)
        draws = [self.crops(rows, epoch) for epoch in epochs] if draws is None else draws
        return [self._batch(rows, epoch, crops) for epoch, crops in zip(epochs, draws, strict=True)]

    def render(self, rows: np.ndarray, epoch: int) -> Batch:
        """Render these rows in this epoch as one normalized batch."""
        return self.render_many(rows, [epoch])[0]

    def _batch(self, rows: np.ndarray, epoch: int, crops: Crops) -> Batch:
        images = torch.empty(len(rows), 3, self.size, self.size)
        boxes = []
        for i, row in enumerate(rows):
            pixels = np.ascontiguousarray(self._pixels(int(row)))
            place = placement(crops.boxes[i], pixels.shape[:2], self.size)
            color = None if crops.color is None else crops.color[i]
            images[i] = paint(pixels, place, self.size, self.mean, color)
            boxes.append(_visible_objects(self.data.truth[row], place))
            if crops.flip[i]:
                images[i] = images[i].flip(2)
                boxes[-1][:, [0, 2]] = self.size - boxes[-1][:, [2, 0]]
        images = transforms.normalize_(images.to(self.device), self.mean, self.std)
        return Batch(images, _padded(boxes).to(self.device), rows, epoch, crops)

    def _pixels(self, row: int) -> np.ndarray:
        try:
            return self.data.images.pixels(row)
        except ChangedImageError as error:
            raise DataError(f"data '{self.data.name}': {self.data.paths[row]}: {error}") from error


@dataclass(frozen=True)
class Placement:
    """The visible part of an image, and its place in the input."""

    source: tuple[int, int, int, int]
    """Top, left, bottom, right in pixels of the image."""
    target: tuple[int, int, int, int]
    """The same in pixels of the input. Neither is empty."""


def placement(box: np.ndarray, sides: tuple[int, ...], size: int) -> Placement:
    """Compute the visible part of an image and its place if `box` is stretched to the input.

    Args:
        box: top, left, height, width in whole pixels of the image. It overlaps the image.
        sides: height and width of the image in pixels.
        size: height and width of the input in pixels.
    """
    spans = []
    for start, extent, side in zip(box[:2], box[2:], sides, strict=True):
        low, high = max(int(start), 0), min(int(start + extent), side)
        first = min(round((low - start) * size / extent), size - 1)
        last = max(round((high - start) * size / extent), first + 1)
        spans.append((low, high, first, min(last, size)))
    (top, bottom, top_to, bottom_to), (left, right, left_to, right_to) = spans
    return Placement((top, left, bottom, right), (top_to, left_to, bottom_to, right_to))


def paint(
    pixels: np.ndarray,
    place: Placement,
    size: int,
    mean: tuple[float, ...],
    color: np.ndarray | None = None,
) -> Tensor:
    """Draw the visible part, recolored, on a canvas of the mean color, (3, size, size) 0-255."""
    canvas = (torch.tensor(mean) * 255)[:, None, None].repeat(1, size, size)
    top, left, bottom, right = place.source
    visible = torch.from_numpy(np.array(pixels[top:bottom, left:right]))  # may be read-only
    top, left, bottom, right = place.target
    part = transforms.resize_pixels(visible, (bottom - top, right - left))
    part = part.permute(2, 0, 1).float()  # (h, w, 3) -> (3, h, w)
    if color is not None and (color != (1, 1, 1, 0)).any():
        part = transforms.recolor(part[None], torch.as_tensor(color)[None])[0]
    canvas[:, top:bottom, left:right] = part
    return canvas


def _visible_objects(objects: GroundTruth, place: Placement) -> np.ndarray:
    """The objects whose center is visible, (n, 5): box in pixels of the input, class from 1."""
    top, left, bottom, right = place.source
    to_top, to_left, to_bottom, to_right = place.target
    scale = np.array([(to_right - to_left) / (right - left), (to_bottom - to_top) / (bottom - top)])
    boxes = objects.boxes.astype(np.float64)
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    visible = ((centers > (left, top)) & (centers < (right, bottom))).all(axis=1)
    boxes = (boxes - [left, top] * 2) * np.tile(scale, 2) + [to_left, to_top] * 2
    edges = np.array([to_left, to_top, to_right, to_bottom])
    boxes = np.clip(boxes, np.tile(edges[:2], 2), np.tile(edges[2:], 2))
    kept = visible & (boxes[:, 2:] - boxes[:, :2] >= LEAST).all(axis=1)
    return np.concatenate([boxes[kept], objects.labels[kept, None] + 1], axis=1)


def _padded(boxes: Sequence[np.ndarray]) -> Tensor:
    most = max([len(image_boxes) for image_boxes in boxes] + [1])
    padded = np.zeros((len(boxes), most, 5), np.float32)
    for i, image_boxes in enumerate(boxes):
        padded[i, : len(image_boxes)] = image_boxes
    return torch.from_numpy(padded)
