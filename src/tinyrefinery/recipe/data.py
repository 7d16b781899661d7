"""The `data` part of a recipe: source, crops, color changes, normalization."""

from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, model_validator

from tinyrefinery.options.crops import IMAGENET_MEAN, IMAGENET_STD, Augment, Center, Crop
from tinyrefinery.options.part import FilePath, Positive, wrong
from tinyrefinery.options.sources import Source


class Data(Augment):
    """Images, and how crops are made of them."""

    source: Source
    """Where images come from."""
    train_crop: Crop
    """How a training image becomes a crop, drawn again in each epoch."""
    eval_crop: Center
    """How an image becomes a crop for evaluation; default: the whole image at training's size."""
    crop_seed: NonNegativeInt | None = None
    """Seed of crops and BN groups; null: the recipe's. A number lets runs with other seeds have the
    same crops, and so read the same stored labels."""
    mean: tuple[float, ...] | None = None
    """Of each channel, black to white being 0 to 1; null: ImageNet's."""
    std: tuple[Positive, ...] | None = None
    """Of each channel; null: ImageNet's."""
    unlabelled: Annotated[FilePath | None, Field(exclude_if=lambda path: path is None)] = None
    """Folder of pictures without labels, which join training in the stages that have refined
    labels; null: none. Copies of the data's images are left out."""
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
        """Mean and standard deviation of each channel; for gray, ImageNet's three averaged."""
        three = self.source.channels == 3
        mean = IMAGENET_MEAN if three else (sum(IMAGENET_MEAN) / 3,)
        std = IMAGENET_STD if three else (sum(IMAGENET_STD) / 3,)
        return self.mean or mean, self.std or std
