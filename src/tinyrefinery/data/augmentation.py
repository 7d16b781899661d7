"""Draw crop boxes and all other augmentation, as pure functions of (seed, epoch, sample).

Nothing needs to be recorded. The same three numbers give the same crop in any process and order.
`transforms` applies the draws to pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tinyrefinery import random
from tinyrefinery.errors import DataError
from tinyrefinery.options.crops import Augment, Center, Color, Crop, Inception, Pad

TURNED = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
_ENHANCED = ("Brightness", "Color", "Contrast", "Sharpness")
OPERATIONS = ("Identity", *TURNED, *_ENHANCED, "Posterize", "Solarize", "AutoContrast", "Equalize")
"""Of RandAugment, as in torchvision."""
ATTEMPTS = 10  # tries for an Inception crop that fits, as in torchvision.RandomResizedCrop


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
    operations: np.ndarray | None = None
    """(B, n) int: operations of RandAugment, numbered from 1 as in `OPERATIONS`. Negative where one
    that has a direction goes left, up, or darker."""
    resized: np.ndarray | None = None
    """(B, 2) int: height and width to which the whole image is resized before cropping."""
    copied: bool = False
    """Whether crops of this kind are copied without resizing, at the size they are drawn for. Not
    inferred from the boxes: a crop must not depend on the other crops in its batch."""

    def subset(self, which: slice) -> "Crops":
        """The draws of a contiguous part of the batch."""
        optional = (self.angle, self.color, self.operations, self.resized)
        return Crops(
            self.boxes[which],
            self.flip[which],
            *(None if array is None else array[which] for array in optional),
            copied=self.copied,
        )

    def followed_by(self, others: "Crops") -> "Crops":
        """These draws and others of the same kind, one after the other."""

        def joined(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
            return None if first is None or second is None else np.concatenate([first, second])

        return Crops(
            np.concatenate([self.boxes, others.boxes]),
            np.concatenate([self.flip, others.flip]),
            joined(self.angle, others.angle),
            joined(self.color, others.color),
            joined(self.operations, others.operations),
            joined(self.resized, others.resized),
            copied=self.copied,
        )

    def source_boxes(self, sizes: np.ndarray) -> np.ndarray:
        """Boxes in pixels of the source images, (B, 4), for image sizes (B, 2)."""
        if self.resized is None:
            return self.boxes
        return self.boxes * np.tile(sizes / self.resized, 2)

    def for_another_size(self, sizes: np.ndarray, others: np.ndarray) -> "Crops":
        """The same crops, to be rendered at another size than the one they were drawn for.

        Boxes are those in the source images, to whole pixels, so that they are resized in one step.

        Args:
            sizes: height and width of the images that the crops were drawn for, (B, 2).
            others: those of the images that they are cut from, (B, 2).
        """
        boxes = self.boxes
        if self.resized is not None or (sizes != others).any():
            boxes = np.rint(self.source_boxes(sizes) * np.tile(others / sizes, 2))
        return replace(self, boxes=boxes, resized=None)


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
    flip, angle, color, operations = crops.flip, None, None, None
    if part.flip:
        flip = random.uniform(seed, "flip", epoch, rows, 1)[:, 0] < part.flip
    if part.rotate:
        angle = (2 * random.uniform(seed, "rotate", epoch, rows, 1)[:, 0] - 1) * part.rotate
    if part.color is not None:
        color = _color(random.uniform(seed, "color", epoch, rows, 4), part.color)
    if part.rand_augment is not None:
        draws = random.uniform(seed, "rand_augment", epoch, rows, 2 * part.rand_augment.operations)
        operations = _operations(draws)
    return replace(crops, flip=flip, angle=angle, color=color, operations=operations)


def _inception(
    crop: Inception, seed: int, epoch: int, rows: np.ndarray, sizes: np.ndarray
) -> np.ndarray:
    """Boxes with the distribution of torchvision's RandomResizedCrop, from 22 draws a sample."""
    draws = random.uniform(seed, "crop", epoch, rows, 2 * ATTEMPTS + 2)  # (B, 22)
    area, aspect = crop.area, crop.aspect
    # The first attempt fits most images. Compute the others only for the rest.
    height, width, fits = _first_fit(draws, sizes, area, aspect, 1)
    rest = np.flatnonzero(~fits)
    later = _first_fit(draws[rest], sizes[rest], area, aspect, ATTEMPTS)
    height[rest], width[rest], fits[rest] = later
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


def _operations(draws: np.ndarray) -> np.ndarray:
    """Operations of RandAugment, (B, n), from n draws of kinds and n of directions."""
    count = draws.shape[1] // 2
    numbers = (draws[:, :count] * len(OPERATIONS)).astype(np.int64) + 1
    return np.where(draws[:, count:] < 0.5, -numbers, numbers)


def _color(draws: np.ndarray, part: Color) -> np.ndarray:
    spread = np.array([part.brightness, part.contrast, part.saturation, part.hue])
    neutral = np.array([1.0, 1.0, 1.0, 0.0])
    low = neutral - spread
    low[:3] = np.maximum(low[:3], 0.0)
    return low + draws * (neutral + spread - low)
