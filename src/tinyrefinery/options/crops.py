"""How images become crops, and how crops vary."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from tinyrefinery.options.part import (
    NonNegative,
    Part,
    Range,
    Share,
    ShareRange,
    Size,
    wrong,
)

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # torchvision's and timm's constants
IMAGENET_STD = (0.229, 0.224, 0.225)


class Inception(Part):
    """A box of random area, aspect and place, resized to `size`."""

    name: Literal["inception"] = "inception"
    size: Size
    """Height and width of the crop in pixels."""
    area: ShareRange = (0.08, 1.0)
    """Least and greatest share of the image's area."""
    aspect: Range = (3 / 4, 4 / 3)
    """Least and greatest width over height, drawn uniformly in its logarithm."""


class Pad(Part):
    """The image with a black border, shifted at random and cut to `size`."""

    name: Literal["pad"] = "pad"
    size: Size
    """Height and width of the crop in pixels."""
    padding: NonNegativeInt = 4
    """Black pixels added on each side before the crop is cut at a random place."""


class Center(Part):
    """The middle of the resized image."""

    name: Literal["center"] = "center"
    size: Size
    """Height and width of the crop in pixels."""
    resize: PositiveInt | None = None
    """Length of the shorter side before the cut; null: just large enough to cover the crop."""


Crop = Annotated[Inception | Pad | Center, Field(discriminator="name")]


class Color(Part):
    """Ranges of random color changes, with the meaning of torchvision's ColorJitter."""

    brightness: NonNegative = 0.0
    """Factor from [max(0, 1 - b), 1 + b]."""
    contrast: NonNegative = 0.0
    """Factor from [max(0, 1 - c), 1 + c]."""
    saturation: NonNegative = 0.0
    """Factor from [max(0, 1 - s), 1 + s]."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Shift from [-h, h] turns."""


class Mix(Part):
    """Training crops mixed in pairs, and their labels with them."""

    mixup: NonNegative = 0.0
    """Average both crops, with shares from Beta(mixup, mixup) (arXiv 1710.09412); 0: don't."""
    cutmix: NonNegative = 0.0
    """Put a box of the other crop into each, of an area from Beta(cutmix, cutmix), at most half
    (arXiv 1905.04899); 0: don't. With mixup, either is done, each for half of the crops."""
    share: Share = 1.0
    """Share of the crops that are mixed."""

    @model_validator(mode="after")
    def _mixes(self) -> "Mix":
        if not (self.mixup or self.cutmix) or not self.share:
            raise wrong(("mixup", "nothing is mixed: set mixup=0.2, cutmix=1.0, or data.mix=null"))
        return self


class RandAugment(Part):
    """Random operations on training crops (arXiv 1909.13719), as torchvision has them."""

    operations: Annotated[int, Field(ge=1, le=14)] = 2
    """Operations on each crop, of shears, shifts, rotation, colors, contrast and sharpness."""
    magnitude: Annotated[int, Field(ge=0, le=30)] = 9
    """How strong they are; 30 is strongest."""


class Augment(Part):
    """Random changes of training crops, besides where they are cut."""

    flip: Share = 0.5
    """Probability that a training crop is mirrored; 0 for digits, text and signs."""
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Largest rotation of a training crop in degrees, either way."""
    color: Color | None = None
    """Random color changes of training crops; null: none."""
    rand_augment: Annotated[RandAugment | None, Field(exclude_if=lambda part: part is None)] = None
    """RandAugment of training crops. A refiner labels the changed crop; null: none."""
    mix: Annotated[Mix | None, Field(exclude_if=lambda mix: mix is None)] = None
    """Mixup and CutMix of training crops. A refiner labels the mixed crop; null: none."""
