"""From rows of a set of images to batches of a detector's input, with the boxes in it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tinyrefinery.data import transforms
from tinyrefinery.data.batches import IMAGENET_MEAN, IMAGENET_STD, Batch
from tinyrefinery.data.crops import Crops
from tinyrefinery.data.images import ChangedImageError
from tinyrefinery.detection import augment
from tinyrefinery.detection.boxes import BoxData
from tinyrefinery.errors import DataError
from tinyrefinery.recipe.detection import Augment

LEAST = 1.0  # pixels of the input that a box must have each way; what is smaller is gone
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class BoxView:
    """Images seen through one kind of augmentation: rows and an epoch give pixels and boxes.

    The `labels` of its batches are the given boxes, (B, M, 5) float32: x1, y1, x2, y2 in pixels of
    the input and the class from 1; M is the most that an image of the batch has, at least 1, and
    what an image has less is filled up with zeros, class 0.
    """

    data: BoxData
    size: int
    """Height and width of the input in pixels, to which images are stretched."""
    spec: Augment | None = None
    """None: whole images, as for evaluation."""
    seed: int = 0
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    device: torch.device = _CPU

    def crops(self, rows: np.ndarray, epoch: int) -> Crops:
        """The draws of these rows in this epoch."""
        sizes = self.data.images.sizes[rows]
        if self.spec is None:
            return augment.whole(sizes)
        boxes = [self.data.given[row].boxes for row in rows]
        return augment.draw(self.spec, self.seed, epoch, rows, sizes, boxes)

    def render_many(
        self, rows: np.ndarray, epochs: Sequence[int], draws: Sequence[Crops] | None = None
    ) -> list[Batch]:
        """The batches of these rows in several epochs."""
        rows = np.asarray(rows, np.int64)
        draws = [self.crops(rows, epoch) for epoch in epochs] if draws is None else draws
        return [self._batch(rows, epoch, each) for epoch, each in zip(epochs, draws, strict=True)]

    def render(self, rows: np.ndarray, epoch: int) -> Batch:
        """The batch of these rows in this epoch, normalized."""
        return self.render_many(rows, [epoch])[0]

    def _batch(self, rows: np.ndarray, epoch: int, crops: Crops) -> Batch:
        images = torch.empty(len(rows), 3, self.size, self.size)
        boxes = []
        for i, row in enumerate(rows):
            pixels = np.ascontiguousarray(self._pixels(int(row)))
            place = placement(crops.boxes[i], pixels.shape[:2], self.size)
            color = None if crops.color is None else crops.color[i]
            images[i] = paint(pixels, place, self.size, self.mean, color)
            boxes.append(_moved(self.data.given[row], place, self.size))
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
    """Which part of an image is seen, and where in the input."""

    source: tuple[int, int, int, int]
    """Top, left, bottom, right in pixels of the image."""
    target: tuple[int, int, int, int]
    """The same in pixels of the input; both have an area."""


def placement(box: np.ndarray, sides: tuple[int, ...], size: int) -> Placement:
    """Where the visible part of an image goes when `box` is stretched to the input.

    Args:
        box: top, left, height, width in whole pixels of the image; overlaps it.
        sides: height and width of the image.
        size: height and width of the input.
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
    """The input (3, size, size), 0-255: the part that is seen, recoloured, on the mean colour."""
    canvas = (torch.tensor(mean) * 255)[:, None, None].repeat(1, size, size)
    top, left, bottom, right = place.source
    seen = torch.from_numpy(
        np.array(pixels[top:bottom, left:right])
    )  # decoders lend read-only ones
    top, left, bottom, right = place.target
    part = transforms.resize_pixels(seen, (bottom - top, right - left)).permute(2, 0, 1).float()
    if color is not None and (color != (1, 1, 1, 0)).any():
        part = transforms.recolor(part[None], torch.as_tensor(color)[None])[0]
    canvas[:, top:bottom, left:right] = part
    return canvas


def _moved(given, place: Placement, size: int) -> np.ndarray:
    """The objects whose centre is seen, (n, 5): box in pixels of the input, class from 1."""
    top, left, bottom, right = place.source
    to_top, to_left, to_bottom, to_right = place.target
    scale = np.array([(to_right - to_left) / (right - left), (to_bottom - to_top) / (bottom - top)])
    boxes = given.boxes.astype(np.float64)
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    seen = ((centers > (left, top)) & (centers < (right, bottom))).all(axis=1)
    moved = (boxes - [left, top] * 2) * np.tile(scale, 2) + [to_left, to_top] * 2
    edges = np.array([to_left, to_top, to_right, to_bottom])
    moved = np.clip(moved, np.tile(edges[:2], 2), np.tile(edges[2:], 2))
    kept = seen & (moved[:, 2:] - moved[:, :2] >= LEAST).all(axis=1)
    return np.concatenate([moved[kept], given.labels[kept, None] + 1], axis=1)


def _padded(boxes: Sequence[np.ndarray]) -> Tensor:
    most = max([len(each) for each in boxes] + [1])
    out = np.zeros((len(boxes), most, 5), np.float32)
    for i, each in enumerate(boxes):
        out[i, : len(each)] = each
    return torch.from_numpy(out)
