"""Crop boxes and every other augmentation draw, as pure functions of (seed, epoch, sample).

Nothing is recorded: whoever knows the three numbers can draw the same crop again, in any process,
in any order. Pixels are the business of `transforms`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tinyrefinery import random
from tinyrefinery.errors import DataError
from tinyrefinery.options.crops import Augment, Center, Color, Crop, Inception, Pad

ATTEMPTS = 10  # tries for an Inception crop that fits, as in torchvision.RandomResizedCrop


@dataclass(frozen=True)
class Crops:
    """The draws of a batch; everything that turns its images into its crops."""

    boxes: np.ndarray
    """(B, 4) float64: top, left, height, width, in pixels of the image (of the resized image where
    `resized` is given). May reach outside for padded crops; outside is black."""
    flip: np.ndarray
    """(B,) bool."""
    angle: np.ndarray | None = None
    """(B,) degrees, counter-clockwise."""
    color: np.ndarray | None = None
    """(B, 4): factors of brightness, contrast, saturation; hue shift in turns."""
    resized: np.ndarray | None = None
    """(B, 2) int: height and width to which the whole image is resized before the cut."""
    copied: bool = False
    """Whether boxes have the size of the crops by their kind, so that no pixel is resized. It is
    not read off the boxes of a batch: a crop must come out the same whatever its mates are."""

    def part(self, which: slice) -> "Crops":
        """The draws of some of the batch's samples."""
        optional = (self.angle, self.color, self.resized)
        return Crops(
            self.boxes[which],
            self.flip[which],
            *(None if each is None else each[which] for each in optional),
            copied=self.copied,
        )

    def source_boxes(self, sizes: np.ndarray) -> np.ndarray:
        """Boxes in pixels of the source image, (B, 4), for image sizes (B, 2)."""
        if self.resized is None:
            return self.boxes
        return self.boxes * np.tile(sizes / self.resized, 2)


def draw(
    crop: Crop,
    seed: int,
    epoch: int,
    rows: np.ndarray,
    sizes: np.ndarray,
    augment: Augment | None = None,
) -> Crops:
    """Draw the crops of samples `rows` (B,) with image sizes `sizes` (B, 2) = height, width.

    Args:
        crop: how images are cut.
        seed: of the draws.
        epoch: or the number of a stream of crops.
        rows: manifest rows, (B,).
        sizes: height and width of the images in pixels, (B, 2).
        augment: random changes of the crops; None: none.
    """
    sizes = np.asarray(sizes, dtype=np.float64)
    if isinstance(crop, Center):
        boxes, resized = _center(sizes, crop)
    else:
        boxes, resized = BOXES[crop.name](crop, seed, epoch, rows, sizes), None
    crops = Crops(boxes, np.zeros(len(rows), bool), resized=resized, copied=crop.name == "pad")
    return crops if augment is None else _augmented(crops, augment, seed, epoch, rows)


def _augmented(crops: Crops, part: Augment, seed: int, epoch: int, rows: np.ndarray) -> Crops:
    """The crops with their random changes; each kind has random numbers of its own."""
    flip, angle, color = crops.flip, None, None
    if part.flip:
        flip = random.uniform(seed, "flip", epoch, rows, 1)[:, 0] < part.flip
    if part.rotate:
        angle = (2 * random.uniform(seed, "rotate", epoch, rows, 1)[:, 0] - 1) * part.rotate
    if part.color is not None:
        color = _color(random.uniform(seed, "color", epoch, rows, 4), part.color)
    return replace(crops, flip=flip, angle=angle, color=color)


def _inception(
    crop: Inception, seed: int, epoch: int, rows: np.ndarray, sizes: np.ndarray
) -> np.ndarray:
    """Boxes with the distribution of torchvision's RandomResizedCrop, from 22 draws a sample."""
    draws = random.uniform(seed, "crop", epoch, rows, 2 * ATTEMPTS + 2)  # (B, 22)
    area, aspect = crop.area, crop.aspect
    # Most first tries fit; the others are worked out for the rest only.
    height, width, fitted = _first_that_fits(draws, sizes, area, aspect, 1)
    rest = np.flatnonzero(~fitted)
    later = _first_that_fits(draws[rest], sizes[rest], area, aspect, ATTEMPTS)
    height[rest], width[rest], fitted[rest] = later
    image_h, image_w = sizes[:, 0], sizes[:, 1]
    # A box of whole pixels somewhere among the (free + 1) places, each equally likely.
    top = np.floor(draws[:, -2] * (image_h - height + 1))
    left = np.floor(draws[:, -1] * (image_w - width + 1))

    none = ~fitted  # then the largest central box within the aspect range
    if none.any():
        own = image_w / image_h
        central_h = np.where(own < aspect[0], np.rint(image_w / aspect[0]), image_h)
        central_w = np.where(own > aspect[1], np.rint(image_h * aspect[1]), image_w)
        height, width = np.where(none, central_h, height), np.where(none, central_w, width)
        top = np.where(none, (image_h - height) // 2, top)
        left = np.where(none, (image_w - width) // 2, left)
    return np.stack([top, left, height, width], axis=1)


def _first_that_fits(
    draws: np.ndarray,
    sizes: np.ndarray,
    area: tuple[float, float],
    aspect: tuple[float, float],
    tries: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Heights and widths of the first of so many tries that fits its image, and whether one did."""
    image_h, image_w = sizes[:, :1], sizes[:, 1:]
    target = image_h * image_w * (area[0] + draws[:, :tries] * (area[1] - area[0]))
    low, high = np.log(aspect)
    ratio = np.exp(low + draws[:, ATTEMPTS : ATTEMPTS + tries] * (high - low))
    widths, heights = np.rint(np.sqrt(target * ratio)), np.rint(np.sqrt(target / ratio))
    fits = (widths > 0) & (widths <= image_w) & (heights > 0) & (heights <= image_h)
    first, each = fits.argmax(axis=1), np.arange(len(draws))
    return heights[each, first], widths[each, first], fits[each, first]


def _padded(crop: Pad, seed: int, epoch: int, rows: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    draws = random.uniform(seed, "crop", epoch, rows, 2)
    free = sizes + 2 * crop.padding - np.array(crop.size)
    if (free < 0).any():
        worst = sizes[free.min(axis=1).argmin()].astype(int)
        raise DataError(
            f"train_crop: a crop of {crop.size[0]}x{crop.size[1]} pixels does not fit into an "
            f"image of {worst[0]}x{worst[1]} with padding {crop.padding}; choose a smaller size, "
            "more padding, or the inception crop"
        )
    corners = np.floor(draws * (free + 1)) - crop.padding
    return np.concatenate([corners, np.broadcast_to(np.array(crop.size, float), sizes.shape)], 1)


BOXES: dict[str, Callable[..., np.ndarray]] = {"inception": _inception, "pad": _padded}
"""Crops whose place is random: (crop, seed, epoch, rows, sizes) -> boxes, (B, 4)."""


def _center(sizes: np.ndarray, crop: Center) -> tuple[np.ndarray, np.ndarray]:
    size = np.array(crop.size, dtype=float)
    if crop.resize is None:
        # Cover the crop: the side that would fall short is matched, the other is cut.
        scale = (size / sizes).max(axis=1, keepdims=True)
        resized = np.maximum(np.rint(sizes * scale), size)
    else:
        # torchvision.Resize: the shorter side exactly, the longer rounded down.
        scale = crop.resize / sizes.min(axis=1, keepdims=True)
        resized = np.floor(sizes * scale + 1e-9)
    corners = np.rint((resized - size) / 2)
    boxes = np.concatenate([corners, np.broadcast_to(size, sizes.shape)], axis=1)
    return boxes, resized.astype(np.int64)


def _color(draws: np.ndarray, part: Color) -> np.ndarray:
    reach = np.array([part.brightness, part.contrast, part.saturation, part.hue])
    base = np.array([1.0, 1.0, 1.0, 0.0])
    low = base - reach
    low[:3] = np.maximum(low[:3], 0.0)
    return low + draws * (base + reach - low)
