"""How training images of a detector vary (SSD, section 2.2 and 3.6), drawn, not yet done.

Zooming out, cropping and resizing come down to one box in the source image, which may reach outside
of it, and which is stretched to the detector's input. So the draws are `Crops`, as those of
classifiers; each is a pure function of (seed, epoch, row). torchvision's transforms of the same
names draw from the one global generator, which threads share, and so can't be replayed; their
arithmetic is what the tests compare with.
"""

import numpy as np

from tinyrefinery import random
from tinyrefinery.data.crops import Crops
from tinyrefinery.recipe.detection import Augment, BoxCrop, Distortion, ZoomOut

TRIALS = 40  # for a crop that overlaps enough, for each overlap drawn; torchvision's number
NO_CROP = 1.0  # the overlap that stands for the whole image
_SAME = (1.0, 1.0, 1.0, 0.0)  # factors that change no colour


def draw(
    spec: Augment,
    seed: int,
    epoch: int,
    rows: np.ndarray,
    sizes: np.ndarray,
    boxes: list[np.ndarray],
) -> Crops:
    """Draw how images `rows` (B,) vary in an epoch.

    Args:
        spec: what is drawn.
        seed: of the draws.
        epoch: the pass over the data.
        rows: numbers of the images.
        sizes: (B, 2) their heights and widths in pixels.
        boxes: of their objects, (n, 4) each.
    """
    each = [
        _one(spec, random.generator(seed, f"boxes/{int(row)}", epoch), size, own)
        for row, size, own in zip(rows, sizes, boxes, strict=True)
    ]
    return Crops(
        np.array([box for box, _, _ in each], float).reshape(-1, 4),
        np.array([flip for _, flip, _ in each], bool),
        color=None if spec.color is None else np.array([c for _, _, c in each], float),
    )


def whole(sizes: np.ndarray) -> Crops:
    """The draws that leave images of `sizes` (B, 2) as they are, for evaluation."""
    boxes = np.concatenate([np.zeros((len(sizes), 2)), np.asarray(sizes, float)], axis=1)
    return Crops(boxes, np.zeros(len(sizes), bool))


def _one(
    spec: Augment, generator: np.random.Generator, size: np.ndarray, boxes: np.ndarray
) -> tuple[tuple[float, ...], bool, tuple[float, ...]]:
    """Box (top, left, height, width) in source pixels, flip, colour factors."""
    color = _distortion(spec.color, generator) if spec.color else _SAME
    height, width = (int(side) for side in size)
    top = left = 0
    if spec.zoom_out and generator.random() < spec.zoom_out.probability:
        top, left, height, width = _canvas(spec.zoom_out, generator, height, width)
    if spec.crop and len(boxes):
        moved = boxes - [left, top, left, top]
        found = _crop(spec.crop, generator, height, width, moved)
        if found is not None:
            top, left = top + found[0], left + found[1]
            height, width = found[2:]
    return (top, left, height, width), bool(generator.random() < spec.flip), color


def _canvas(
    spec: ZoomOut, generator: np.random.Generator, height: int, width: int
) -> tuple[int, int, int, int]:
    """The canvas as a box in pixels of the image, which lies somewhere on it."""
    factor = 1 + generator.random() * (spec.most - 1)
    tall, wide = int(height * factor), int(width * factor)
    down, right = generator.random(2)
    return -int((tall - height) * down), -int((wide - width) * right), tall, wide


def _crop(
    spec: BoxCrop, generator: np.random.Generator, height: int, width: int, boxes: np.ndarray
) -> tuple[int, int, int, int] | None:
    """Top, left, height, width of a crop that holds an object's centre and overlaps one enough.

    None: the whole image. An overlap that no crop was found for is drawn anew, so that it ends
    only with the whole image if that is among the overlaps, else after as many as there are.
    """
    low, high = spec.scale
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    for _ in range(len(spec.overlaps)):
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
    areas = [(each[:, 2:] - each[:, :2]).prod(axis=1) for each in (a, b)]
    return shared / (areas[0][:, None] + areas[1] - shared)


def _distortion(spec: Distortion, generator: np.random.Generator) -> tuple[float, ...]:
    """Factors of brightness, contrast, saturation; hue shift in turns."""
    reach = (spec.brightness, spec.contrast, spec.saturation, spec.hue)
    draws = generator.random((4, 2))
    return tuple(
        base + (2 * where - 1) * far if happens < 0.5 else base
        for base, far, (happens, where) in zip(_SAME, reach, draws, strict=True)
    )
