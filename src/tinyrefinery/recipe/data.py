"""The `data` part of a recipe: source, crops, colours, normalization."""

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from tinyrefinery.recipe.part import (
    NonNegative,
    Part,
    Positive,
    Range,
    Share,
    ShareRange,
    Size,
    wrong,
)
from tinyrefinery.recipe.sources import Source

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # torchvision's and timm's constants
IMAGENET_STD = (0.229, 0.224, 0.225)


class Inception(Part):
    """A box of random area, aspect and place, resized to `size`."""

    name: Literal["inception"]
    size: Size
    """Height and width of the crop in pixels."""
    area: ShareRange = (0.08, 1.0)
    """Least and greatest share of the image's area."""
    aspect: Range = (3 / 4, 4 / 3)
    """Least and greatest width over height."""


class Pad(Part):
    """The image with a black border, shifted at random and cut to `size`."""

    name: Literal["pad"]
    size: Size
    """Height and width of the crop in pixels."""
    padding: NonNegativeInt = 4
    """Border on each side in pixels."""


class Center(Part):
    """The middle of the resized image."""

    name: Literal["center"]
    size: Size
    """Height and width of the crop in pixels."""
    resize: PositiveInt | None = None
    """Length of the shorter side before the cut; null: just large enough to cover the crop."""


Crop = Annotated[Inception | Pad | Center, Field(discriminator="name")]


class Color(Part):
    """Ranges of random colour changes, with the meaning of torchvision's ColorJitter."""

    brightness: NonNegative = 0.0
    """Factor from [max(0, 1 - b), 1 + b]."""
    contrast: NonNegative = 0.0
    """Factor from [max(0, 1 - c), 1 + c]."""
    saturation: NonNegative = 0.0
    """Factor from [max(0, 1 - s), 1 + s]."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Shift from [-h, h] turns."""


class Data(Part):
    """Images, and how crops are made of them."""

    source: Source
    """Where images come from."""
    train_crop: Crop
    """How a training image becomes a crop, anew in each epoch."""
    eval_crop: Center
    """How an image becomes a crop for evaluation; default: the whole image at training's size."""
    flip: Share = 0.5
    """Probability that a training crop is mirrored; 0 for digits, text and signs."""
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Largest rotation of a training crop in degrees, either way."""
    color: Color | None = None
    """Random colour changes of training crops; null: none."""
    crop_seed: NonNegativeInt | None = None
    """Seed of crops and BN groups; null: the recipe's. A number lets runs with other seeds have the
    same crops, and so read the same stored labels."""
    mean: tuple[float, ...] | None = None
    """Of each channel, black to white being 0 to 1; null: ImageNet's."""
    std: tuple[Positive, ...] | None = None
    """Of each channel; null: ImageNet's."""
    workers: NonNegativeInt = 2
    """Threads that decode images ahead of training; results don't depend on it."""

    @model_validator(mode="before")
    @classmethod
    def _evaluate_whole_images(cls, data: Any) -> Any:
        train = data.get("train_crop") if isinstance(data, dict) else None
        if isinstance(train, dict) and "size" in train and "eval_crop" not in data:
            return {**data, "eval_crop": {"name": "center", "size": train["size"]}}
        return data

    @model_validator(mode="after")
    def _one_number_a_channel(self) -> "Data":
        for name in ("mean", "std"):
            numbers = getattr(self, name)
            if numbers is not None and len(numbers) != self.source.channels:
                raise wrong(
                    (
                        name,
                        f"has {len(numbers)} numbers, but source.channels is "
                        f"{self.source.channels}: write one a channel",
                    )
                )
        return self

    @property
    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel; grey has the average of ImageNet's three."""
        three = self.source.channels == 3
        mean = IMAGENET_MEAN if three else (sum(IMAGENET_MEAN) / 3,)
        std = IMAGENET_STD if three else (sum(IMAGENET_STD) / 3,)
        return self.mean or mean, self.std or std
