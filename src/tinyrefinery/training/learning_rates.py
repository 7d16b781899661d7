"""Learning-rate schedules: a factor on the base rate as a function of time in epochs.

All but the plateau are pure functions, so a resumed run needs no state of theirs.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from tinyrefinery.options.schedules import (
    Cosine,
    Exponential,
    OneCycle,
    Plateau,
    Step,
    WarmUp,
)
from tinyrefinery.options.schedules import (
    Schedule as Options,
)

Schedule = Callable[[float], float]
"""Epochs done (fractional) -> factor on the base learning rate."""

THRESHOLD = 1e-4  # absolute; of a plateau: a smaller improvement doesn't count


def build(part: Options, epochs: float) -> Schedule:
    """The schedule of a training of so many epochs."""
    if isinstance(part, Plateau):
        return PlateauSchedule(part)
    shape = SHAPES[part.name]
    # The schedule's start: lr. Of one cycle, which starts low, the warm-up ends where the cycle is.
    top = max(shape(part, 0.0, epochs), shape(part, part.warmup, epochs))
    return lambda epoch: (
        shape(part, epoch, epochs) if _is_warm(part, epoch) else top * _warm_up(part, epoch)
    )


def _is_warm(part: WarmUp, epoch: float) -> bool:
    """Whether the warm-up is over. Its last moment, at the full rate, belongs to it."""
    return epoch > part.warmup or part.warmup == 0


def _warm_up(part: WarmUp, epoch: float) -> float:
    """The factor of a linear warm-up: rising to 1 in its epochs."""
    if _is_warm(part, epoch):
        return 1.0
    return part.warmup_start + (1 - part.warmup_start) * epoch / part.warmup


def _constant(part: Any, epoch: float, epochs: float) -> float:
    return 1.0


def _step(part: Step, epoch: float, epochs: float) -> float:
    return part.factor ** sum(epoch >= moment for moment in part.at)


def _cosine(part: Cosine, epoch: float, epochs: float) -> float:
    wave = 0.5 * (1 + math.cos(math.pi * min(epoch / epochs, 1.0)))
    return part.final + (1 - part.final) * wave


def _exponential(part: Exponential, epoch: float, epochs: float) -> float:
    return part.factor ** math.floor(epoch / part.every + 1e-9)


def _one_cycle(part: OneCycle, epoch: float, epochs: float) -> float:
    done = min(epoch / epochs, 1.0)
    if done < part.peak:
        return part.start + (1 - part.start) * done / part.peak
    return (1 - done) / (1 - part.peak)


SHAPES: dict[str, Callable[[Any, float, float], float]] = {
    "constant": _constant,
    "step": _step,
    "cosine": _cosine,
    "exponential": _exponential,
    "one_cycle": _one_cycle,
}
"""By name: options, epochs done, epochs in all -> factor, warm-up aside."""


class PlateauSchedule:
    """The rate falls when a validation figure has not improved for `patience` evaluations."""

    def __init__(self, part: Plateau) -> None:
        """Start at the full rate."""
        self.part = part
        self.state = {"scale": 1.0, "waited": 0.0}
        """Factor so far, evaluations without improvement, best value: what a resumed run needs."""

    def __call__(self, epoch: float) -> float:
        """The factor so far."""
        return _warm_up(self.part, epoch) * self.state["scale"]

    def observe(self, record: Mapping[str, float]) -> None:
        """Note an epoch's validation figure. One that isn't finite is not an improvement."""
        part, state, value = self.part, self.state, record[self.part.metric]
        sign = 1 if part.metric == "validation_top1" else -1
        if math.isfinite(value) and (
            "best" not in state or sign * (value - state["best"]) > THRESHOLD
        ):
            state["best"], state["waited"] = value, 0.0
            return
        state["waited"] += 1
        if state["waited"] > part.patience:
            state["scale"] = max(state["scale"] * part.factor, part.lowest)
            state["waited"] = 0.0
