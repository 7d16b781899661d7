"""The label policies a recipe can name."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from tinyrefinery.recipe.part import Part, Positive, wrong


class GroundTruth(Part):
    """The class that the data set gives, with all of the probability."""

    name: Literal["ground_truth"]


class LabelSmoothing(Part):
    """Ground truth that leaves a little for every class."""

    name: Literal["label_smoothing"]
    epsilon: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the probability that is spread evenly over all classes."""


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"names {', '.join(map(repr, twice))} more than once")
    for name in names:
        kind, colon, rest = name.partition(":")
        if colon and kind not in ("file", "timm"):
            raise ValueError(
                f"{name!r} is no refiner: write the id of an earlier stage, file:PATH or timm:NAME"
            )
        if colon and not rest:
            raise ValueError(f"{name!r} names nothing after the colon")
    return names


Refiners = Annotated[
    tuple[str, ...],
    Field(min_length=1),
    BeforeValidator(_as_tuple),
    AfterValidator(_distinct),
    PlainSerializer(lambda names: names[0] if len(names) == 1 else list(names)),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ]
        }
    ),
]


class Refined(Part):
    """Labels that one or more frozen networks give (Label Refinery, arXiv 1805.02641)."""

    name: Literal["refined"]
    by: Refiners
    """Id of an earlier stage, `file:PATH` of a checkpoint, `timm:NAME`, or a list of these, whose
    distributions are averaged."""
    level: Literal["crop", "image", "category"] = "crop"
    """crop: label of this very crop (the paper's dynamic labels); image: of the image's evaluation
    crop (static); category: mean over the training images of the class."""
    hard: bool = False
    """One-hot of the refiner's top class instead of its distribution."""
    batch_norm: Literal["batch", "running", "calibrated"] = "batch"
    """Statistics of the refiner's batch normalization: batch: those of the crops labelled together
    (paper, section 3); running: those from its training; calibrated: running ones, measured anew on
    this recipe's training crops."""
    bn_group: Annotated[int, Field(ge=2)] | None = None
    """Crops that share statistics under batch_norm: batch; null: the batch size."""
    temperature: Positive = 1.0
    """The refiner's logits are divided by it; above 1 softens."""

    @model_validator(mode="after")
    def _group_needs_batch_statistics(self) -> "Refined":
        if self.batch_norm == "running" and self.bn_group is not None:
            raise wrong(
                (
                    "bn_group",
                    f"{self.bn_group} has no effect with batch_norm: running; "
                    "remove it (bn_group: null) or write batch_norm: batch",
                )
            )
        return self


Labels = Annotated[GroundTruth | LabelSmoothing | Refined, Field(discriminator="name")]
"""Where the targets of training come from."""
