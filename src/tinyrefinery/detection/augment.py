"""Random draws for the augmentation of a detector's training images (SSD, sections 2.2 and 3.6).

Zooming out, cropping and resizing combine to one box in the source image, which may extend beyond
it and is stretched to the detector's input. So the draws are `Crops`, as for classifiers, and each
is a pure function of (seed, epoch, row). torchvision's transforms of the same names draw from a
global generator that threads share, so their draws can't be repeated. Tests compare with their
arithmetic.
"""

import numpy as np

from tinyrefinery import random
from tinyrefinery.data.augmentation import Crops
from tinyrefinery.recipe.detection import Augment, BoxCrop, Distortion, ZoomOut

TRIALS = 40  # attempts per drawn overlap to find a crop that overlaps enough, as in torchvision
_DRAWS = 1000  # bounds the search where the whole image is not among the overlaps
NO_CROP = 1.0  # the overlap that means the whole image
_UNCHANGED = (1.0, 1.0, 1.0, 0.0)  # factors that change no color


def draw(
    spec: Augment,
    seed: int,
    epoch: int,
    rows: np.ndarray,
    sizes: np.ndarray,
    boxes: list[np.ndarray],
) -> Crops:
    """Draw the augmentation of images `rows` (B,) in an epoch.

    Args:
        spec: the augmentation.
        seed: seed of the draws.
        epoch: the epoch.
        rows: numbers of the images.
        sizes: (B, 2) heights and widths of the images in pixels.
        boxes: boxes of the objects, (n, 4) per image.
    """
    draws = [
        _draw_image(spec, random.generator(seed, f"boxes/{int(row)}", epoch), size, image_boxes)
        for row, size, image_boxes in zip(rows, sizes, boxes, strict=True)
    ]
    return Crops(
        np.array([box for box, _, _ in draws], float).reshape(-1, 4),
        np.array([flip for _, flip, _ in draws], bool),
        color=None if spec.color is None else np.array([color for _, _, color in draws], float),
    )


def whole(sizes: np.ndarray) -> Crops:
    """Draws without augmentation for images of `sizes` (B, 2), for evaluation."""
    boxes = np.concatenate([np.zeros((len(sizes), 2)), np.asarray(sizes, float)], axis=1)
    return Crops(boxes, np.zeros(len(sizes), bool))


def _draw_image(
    spec: Augment, generator: np.random.Generator, size: np.ndarray, boxes: np.ndarray
) -> tuple[tuple[float, ...], bool, tuple[float, ...]]:
    """Box (top, left, height, width) in source pixels, flip, color factors."""
    color = _distortion(spec.color, generator) if spec.color else _UNCHANGED
    height, width = (int(side) for side in size)
    top = left = 0
    if spec.zoom_out and generator.random() < spec.zoom_out.probability:
        top, left, height, width = _canvas(spec.zoom_out, generator, height, width)
    if spec.crop and len(boxes):
        on_canvas = boxes - [left, top, left, top]
        crop = _crop(spec.crop, generator, height, width, on_canvas)
        if crop is not None:
            top, left = top + crop[0], left + crop[1]
            height, width = crop[2:]
    return (top, left, height, width), bool(generator.random() < spec.flip), color


def _canvas(
    spec: ZoomOut, generator: np.random.Generator, height: int, width: int
) -> tuple[int, int, int, int]:
    """The canvas around the image, as a box (top, left, height, width) in pixels of the image."""
    factor = 1 + generator.random() * (spec.most - 1)
    tall, wide = int(height * factor), int(width * factor)
    down, right = generator.random(2)
    return -int((tall - height) * down), -int((wide - width) * right), tall, wide


def _crop(
    spec: BoxCrop, generator: np.random.Generator, height: int, width: int, boxes: np.ndarray
) -> tuple[int, int, int, int] | None:
    """Top, left, height, width of a crop that contains an object's center and overlaps it enough.

    If no crop is found for the drawn overlap, another overlap is drawn, until a crop fits or the
    whole image is drawn, as in torchvision. None is for the whole image.
    """
    low, high = spec.scale
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    for _ in range(_DRAWS):
        least = spec.overlaps[int(generator.integers(len(spec.overlaps)))]
        if least >= NO_CROP:
            return None
        draws = generator.random((TRIALS, 4))
        tall = (height * (low + draws[:, 0] * (high - low))).astype(int).clip(1)
        wide = (width * (low + draws[:, 1] * (high - low))).astype(int).clip(1)
        top = ((height - tall) * draws[:, 2]).astype(int)
        left = ((width - wide) * draws[:, 3]).astype(int)
        crops = np.stack([left, top, left + wide, top + tall], axis=1)
        inside = ((crops[:, None, :2] < centers) & (centers < crops[:, None, 2:])).all(axis=2)
        overlap = np.where(inside, _overlaps(crops, boxes), -1).max(axis=1)
        shape = (wide / tall >= spec.aspect[0]) & (wide / tall <= spec.aspect[1])
        good = np.flatnonzero(shape & (overlap >= least))
        if len(good):
            best = good[0]
            return int(top[best]), int(left[best]), int(tall[best]), int(wide[best])
    return None


def _overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of boxes (n, 4) with boxes (m, 4), (n, m)."""
    low, high = np.maximum(a[:, None, :2], b[:, :2]), np.minimum(a[:, None, 2:], b[:, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a, b)]
    return shared / (areas[0][:, None] + areas[1] - shared)


def _distortion(spec: Distortion, generator: np.random.Generator) -> tuple[float, ...]:
    """Factors of brightness, contrast and saturation, and hue shift in turns."""
    ranges = (spec.brightness, spec.contrast, spec.saturation, spec.hue)
    draws = generator.random((4, 2))
    return tuple(
        base + (2 * position - 1) * most if chance < 0.5 else base
        for base, most, (chance, position) in zip(_UNCHANGED, ranges, draws, strict=True)
    )
