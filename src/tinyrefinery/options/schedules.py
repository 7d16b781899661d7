"""The learning-rate schedules that a recipe can name."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt

from tinyrefinery.options.part import NonNegative, Part, Positive, Share


class WarmUp(Part):
    """What all schedules share: a linear warm-up."""

    warmup: NonNegative = 0.0
    """Epochs (may be a fraction) in which the rate grows linearly to the optimizer's lr."""
    warmup_start: Share = 0.0
    """Rate at the start of the warm-up as a share of lr."""


class Constant(WarmUp):
    """The same rate to the end."""

    name: Literal["constant"] = "constant"


def _rising(epochs: tuple[float, ...]) -> tuple[float, ...]:
    if list(epochs) != sorted(set(epochs)):
        raise ValueError(f"should rise, but is {list(epochs)}")
    return epochs


class Step(WarmUp):
    """The rate falls at given epochs."""

    name: Literal["step"] = "step"
    at: Annotated[tuple[Positive, ...], Field(min_length=1), AfterValidator(_rising)]
    """Epochs, rising, counted from the start of the stage; those past its end do nothing."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """The rate is multiplied by it at each."""


class Cosine(WarmUp):
    """Half a cosine from lr down (arXiv 1608.03983, without restarts)."""

    name: Literal["cosine"] = "cosine"
    final: Share = 0.0
    """Rate at the end as a share of lr."""


class OneCycle(WarmUp):
    """Linearly up, then linearly down to zero; needs no other warm-up."""

    name: Literal["one_cycle"] = "one_cycle"
    peak: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of the epochs after which the rate is lr."""
    start: Share = 0.04
    """Rate at the start as a share of lr."""


class Exponential(WarmUp):
    """The rate falls by the same factor again and again."""

    name: Literal["exponential"] = "exponential"
    factor: Annotated[float, Field(gt=0, lt=1)]
    """The rate is multiplied by it."""
    every: Positive = 1.0
    """Epochs between two falls."""


class Plateau(WarmUp):
    """The rate falls when validation stops getting better."""

    name: Literal["plateau"] = "plateau"
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """The rate is multiplied by it."""
    patience: PositiveInt = 10
    """Evaluations without a better value before the rate falls."""
    metric: Literal["validation_loss", "validation_top1"] = "validation_loss"
    """What must get better."""
    lowest: Share = 0.0
    """The rate falls no further than to this share of lr."""


Schedule = Annotated[
    Constant | Step | Cosine | OneCycle | Exponential | Plateau, Field(discriminator="name")
]
