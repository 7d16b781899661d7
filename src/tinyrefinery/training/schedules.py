"""Learning-rate schedules: a factor on the base rate as a function of time in epochs.

All but the plateau are pure functions, so a resumed run needs no state of theirs.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

Schedule = Callable[[float], float]
"""Epochs done (fractional) -> factor on the base learning rate."""


def constant() -> Schedule:
    """Always the base rate."""
    return lambda _: 1.0


def step(at: Sequence[float], factor: float = 0.1) -> Schedule:
    """Multiply by `factor` at each epoch of `at`."""
    return lambda epoch: factor ** sum(epoch >= moment for moment in at)


def cosine(epochs: float, final: float = 0.0) -> Schedule:
    """Half a cosine from 1 to `final` over `epochs` (arXiv 1608.03983, without restarts)."""
    return lambda epoch: (
        final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(epoch / epochs, 1.0)))
    )


def exponential(factor: float, every: float = 1.0) -> Schedule:
    """Multiply by `factor` after each whole `every` epochs."""
    return lambda epoch: factor ** math.floor(epoch / every + 1e-9)


def one_cycle(epochs: float, peak: float = 0.3, start: float = 0.04) -> Schedule:
    """Linearly up from `start` to 1 over the share `peak` of the epochs, then linearly to zero."""

    def factor(epoch: float) -> float:
        """Share of the largest rate."""
        done = min(epoch / epochs, 1.0)
        if done < peak:
            return start + (1 - start) * done / peak
        return (1 - done) / (1 - peak)

    return factor


def with_warmup(schedule: Schedule, warmup: float, start: float = 0.0) -> Schedule:
    """Rise linearly from `start` to the schedule's own value during the first `warmup` epochs."""
    return lambda epoch: _rise(epoch, warmup, start) * schedule(epoch)


def _rise(epoch: float, warmup: float, start: float) -> float:
    return 1.0 if epoch >= warmup else start + (1 - start) * epoch / warmup


@dataclass
class Plateau:
    """Multiply by `factor` when a validation figure has not improved for `patience` epochs."""

    factor: float = 0.1
    patience: int = 10
    metric: Literal["validation_top1", "validation_loss"] = "validation_top1"
    threshold: float = 1e-4
    """An improvement smaller than this (absolute) does not count."""
    lowest: float = 0.0
    """Least factor."""
    warmup: float = 0.0
    """Epochs of linear rise, as in `with_warmup`."""
    warmup_start: float = 0.0
    state: dict[str, float] = field(default_factory=lambda: {"scale": 1.0, "waited": 0.0})
    """Best value, epochs waited and factor so far; what a resumed run needs."""

    def __call__(self, epoch: float) -> float:
        """The factor so far."""
        return _rise(epoch, self.warmup, self.warmup_start) * self.state["scale"]

    def observe(self, value: float) -> None:
        """Take in this epoch's validation figure; one that isn't finite is no improvement."""
        sign = 1 if self.metric == "validation_top1" else -1
        if math.isfinite(value) and (
            "best" not in self.state or sign * (value - self.state["best"]) > self.threshold
        ):
            self.state["best"], self.state["waited"] = value, 0.0
            return
        self.state["waited"] += 1
        if self.state["waited"] > self.patience:
            self.state["scale"] = max(self.state["scale"] * self.factor, self.lowest)
            self.state["waited"] = 0.0
