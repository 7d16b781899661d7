"""Draw crop boxes and all other augmentation, as pure functions of (seed, epoch, sample).

Nothing needs to be recorded. The same three numbers give the same crop in any process and order.
`transforms` applies the draws to pixels.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from tinyrefinery import random
from tinyrefinery.errors import DataError

ATTEMPTS = 10  # tries for an Inception crop that fits, as in torchvision.RandomResizedCrop


@dataclass(frozen=True)
class ColorSpec:
    """Ranges of color changes, as in torchvision's ColorJitter."""

    brightness: float = 0.0
    """Factor from [max(0, 1 - b), 1 + b]."""
    contrast: float = 0.0
    """Factor from [max(0, 1 - c), 1 + c]."""
    saturation: float = 0.0
    """Factor from [max(0, 1 - s), 1 + s]."""
    hue: float = 0.0
    """Shift from [-h, h] turns, h at most 0.5."""


@dataclass(frozen=True)
class CropSpec:
    """How images become crops of `size` (height, width) pixels."""

    kind: Literal["inception", "pad", "center"]
    size: tuple[int, int]
    area: tuple[float, float] = (0.08, 1.0)
    """Inception: share of the image's area."""
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    """Inception: width over height, drawn uniformly in its logarithm."""
    padding: int = 4
    """Pad: black pixels added on each side before a random crop of `size`."""
    resize: int | None = None
    """Center: length of the shorter side before cropping; None: just enough to cover `size`."""
    flip: float = 0.0
    """Probability of a horizontal flip."""
    rotate: float = 0.0
    """Maximum rotation of the crop in degrees, in both directions."""
    color: ColorSpec | None = field(default=None)


@dataclass(frozen=True)
class Crops:
    """The draws of a batch: everything needed to turn its images into crops."""

    boxes: np.ndarray
    """(B, 4) float64: top, left, height, width, in pixels of the image, or of the resized image if
    `resized` is set. Padded crops may extend beyond the image; pixels outside are black."""
    flip: np.ndarray
    """(B,) bool."""
    angle: np.ndarray | None = None
    """(B,) degrees, counter-clockwise."""
    color: np.ndarray | None = None
    """(B, 4): factors of brightness, contrast, saturation; hue shift in turns."""
    resized: np.ndarray | None = None
    """(B, 2) int: height and width to which the whole image is resized before cropping."""
    copied: bool = False
    """Whether crops of this kind are always copied without resizing. Not inferred from the boxes:
    a crop must not depend on the other crops in its batch."""

    def subset(self, which: slice) -> "Crops":
        """The draws of a contiguous part of the batch."""
        optional = (self.angle, self.color, self.resized)
        return Crops(
            self.boxes[which],
            self.flip[which],
            *(None if array is None else array[which] for array in optional),
            copied=self.copied,
        )

    def source_boxes(self, sizes: np.ndarray) -> np.ndarray:
        """Boxes in pixels of the source images, (B, 4), for image sizes (B, 2)."""
        if self.resized is None:
            return self.boxes
        return self.boxes * np.tile(sizes / self.resized, 2)


def draw(spec: CropSpec, seed: int, epoch: int, rows: np.ndarray, sizes: np.ndarray) -> Crops:
    """Draw the crops of samples `rows` (B,) with image sizes `sizes` (B, 2) = height, width."""
    sizes = np.asarray(sizes, dtype=np.float64)
    resized = None
    if spec.kind == "inception":
        draws = random.uniform(seed, "crop", epoch, rows, 2 * ATTEMPTS + 2)
        boxes = _inception(draws, sizes, spec.area, spec.aspect)
    elif spec.kind == "pad":
        boxes = _padded(random.uniform(seed, "crop", epoch, rows, 2), sizes, spec)
    else:
        boxes, resized = _center(sizes, spec)
    flip = np.zeros(len(rows), dtype=bool)
    if spec.flip:
        flip = random.uniform(seed, "flip", epoch, rows, 1)[:, 0] < spec.flip
    angle = None
    if spec.rotate:
        angle = (2 * random.uniform(seed, "rotate", epoch, rows, 1)[:, 0] - 1) * spec.rotate
    color = None
    if spec.color is not None:
        color = _color(random.uniform(seed, "color", epoch, rows, 4), spec.color)
    return Crops(boxes, flip, angle, color, resized, copied=spec.kind == "pad")


def _inception(
    draws: np.ndarray,
    sizes: np.ndarray,
    area: tuple[float, float],
    aspect: tuple[float, float],
) -> np.ndarray:
    """Boxes (B, 4) distributed as torchvision's RandomResizedCrop, from draws (B, 22)."""
    # The first attempt fits most images. Compute the others only for the rest.
    height, width, fits = _first_fit(draws, sizes, area, aspect, 1)
    rest = np.flatnonzero(~fits)
    height[rest], width[rest], fits[rest] = _first_fit(
        draws[rest], sizes[rest], area, aspect, ATTEMPTS
    )
    image_h, image_w = sizes[:, 0], sizes[:, 1]
    # A box of whole pixels has (free + 1) positions, all equally likely.
    top = np.floor(draws[:, -2] * (image_h - height + 1))
    left = np.floor(draws[:, -1] * (image_w - width + 1))

    failed = ~fits  # use the largest central box within the aspect range
    if failed.any():
        image_aspect = image_w / image_h
        central_h = np.where(image_aspect < aspect[0], np.rint(image_w / aspect[0]), image_h)
        central_w = np.where(image_aspect > aspect[1], np.rint(image_h * aspect[1]), image_w)
        height, width = np.where(failed, central_h, height), np.where(failed, central_w, width)
        top = np.where(failed, (image_h - height) // 2, top)
        left = np.where(failed, (image_w - width) // 2, left)
    return np.stack([top, left, height, width], axis=1)


def _first_fit(
    draws: np.ndarray,
    sizes: np.ndarray,
    area: tuple[float, float],
    aspect: tuple[float, float],
    attempts: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Height and width of the first attempt that fits its image, and whether one fits, (B,)."""
    image_h, image_w = sizes[:, :1], sizes[:, 1:]
    target = image_h * image_w * (area[0] + draws[:, :attempts] * (area[1] - area[0]))
    low, high = np.log(aspect)
    ratio = np.exp(low + draws[:, ATTEMPTS : ATTEMPTS + attempts] * (high - low))
    # (B, attempts) each
    widths, heights = np.rint(np.sqrt(target * ratio)), np.rint(np.sqrt(target / ratio))
    fits = (widths > 0) & (widths <= image_w) & (heights > 0) & (heights <= image_h)
    sample, first = np.arange(len(draws)), fits.argmax(axis=1)
    return heights[sample, first], widths[sample, first], fits[sample, first]


def _padded(draws: np.ndarray, sizes: np.ndarray, spec: CropSpec) -> np.ndarray:
    free = sizes + 2 * spec.padding - np.array(spec.size)
    if (free < 0).any():
        worst = sizes[free.min(axis=1).argmin()].astype(int)
        raise DataError(
            f"train_crop: a crop of {spec.size[0]}x{spec.size[1]} pixels does not fit into an "
            f"image of {worst[0]}x{worst[1]} with padding {spec.padding}: set a smaller size, "
            "more padding, or the inception crop"
        )
    corners = np.floor(draws * (free + 1)) - spec.padding
    return np.concatenate([corners, np.broadcast_to(np.array(spec.size, float), sizes.shape)], 1)


def _center(sizes: np.ndarray, spec: CropSpec) -> tuple[np.ndarray, np.ndarray]:
    size = np.array(spec.size, dtype=float)
    if spec.resize is None:
        # Scale so that the image just covers the crop. One side matches, the other is cut.
        scale = (size / sizes).max(axis=1, keepdims=True)
        resized = np.maximum(np.rint(sizes * scale), size)
    else:
        # As torchvision.Resize: the shorter side is exact, the longer one rounded down.
        scale = spec.resize / sizes.min(axis=1, keepdims=True)
        resized = np.floor(sizes * scale + 1e-9)
    corners = np.rint((resized - size) / 2)
    boxes = np.concatenate([corners, np.broadcast_to(size, sizes.shape)], axis=1)
    return boxes, resized.astype(np.int64)


def _color(draws: np.ndarray, spec: ColorSpec) -> np.ndarray:
    spread = np.array([spec.brightness, spec.contrast, spec.saturation, spec.hue])
    neutral = np.array([1.0, 1.0, 1.0, 0.0])
    low = neutral - spread
    low[:3] = np.maximum(low[:3], 0.0)
    return low + draws * (neutral + spread - low)
