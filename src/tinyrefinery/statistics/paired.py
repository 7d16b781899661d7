"""Mean and standard deviation over seeds, and the paired gain of one stage over another."""

from dataclasses import dataclass
from math import sqrt

import numpy as np


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of a quantity over seeds."""

    mean: float
    std: float | None
    """Sample standard deviation (n - 1); None with one seed."""
    n: int


@dataclass(frozen=True)
class Gain:
    """Mean difference over seeds, with its paired t interval."""

    mean: float
    std: float | None
    """Sample standard deviation of the differences; None with one seed."""
    n: int
    low: float | None
    """Lower end of the interval; None with one seed."""
    high: float | None
    """Upper end of the interval; None with one seed."""
    confidence: float

    @property
    def verdict(self) -> str:
        """The conclusion from the interval: "one seed", "gain", "loss" or "no gain shown"."""
        if self.low is None or self.high is None:
            return "one seed"
        if self.low > 0:
            return "gain"
        return "loss" if self.high < 0 else "no gain shown"


def spread(values: np.ndarray | list[float]) -> Spread:
    """Mean and sample standard deviation of one value per seed.

    Raises:
        ValueError: if there are no values.
    """
    values = np.asarray(values, np.float64)
    if not len(values):
        raise ValueError("spread needs at least one value")
    std = float(values.std(ddof=1)) if len(values) > 1 else None
    return Spread(float(values.mean()), std, len(values))


def paired_gain(
    a: np.ndarray | list[float], b: np.ndarray | list[float], confidence: float = 0.95
) -> Gain:
    """Gain of b over a, where entry i of both has the same seed: mean of b - a and its t interval.

    mean ± t(n - 1) * std / sqrt(n), Student's t for paired samples. Pairing removes the effect that
    a seed has on both. The interval covers new seeds on the same data, not new data.

    Raises:
        ValueError: if lengths differ or are zero.
    """
    if len(a) != len(b):
        raise ValueError(f"paired values must have equal lengths, not {len(a)} and {len(b)}")
    difference = spread(np.asarray(b, np.float64) - np.asarray(a, np.float64))
    mean, std, n = difference.mean, difference.std, difference.n
    if std is None:
        return Gain(mean, None, n, None, None, confidence)
    from scipy.special import stdtrit  # takes a moment to import

    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * std / sqrt(n)
    return Gain(mean, std, n, mean - half, mean + half, confidence)
