"""Normalization and sign as one comparison per channel."""

import numpy as np

_MOST = float(1 << 24)
"""Beyond all sums of a packed layer."""


def float_bounds(scale: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flips and bounds (C,) float32 with `x * flip >= bound` just where `scale * x + shift >= 0`.

    Exact for every finite float32 x: a bound is the smallest float32 that reaches the real one.

    Args:
        scale: (C,) float64.
        shift: (C,) float64.
    """
    flips, bounds = _real_bounds(scale, shift)
    rounded = bounds.astype(np.float32)
    rounded = np.where(rounded < bounds, np.nextafter(rounded, np.float32(np.inf)), rounded)
    return flips.astype(np.float32), rounded.astype(np.float32)


def sum_bounds(scale: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same for sums, which are integers of at most 2^24."""
    flips, bounds = _real_bounds(scale, shift)
    return flips.astype(np.float32), np.clip(np.ceil(bounds), -_MOST, _MOST + 2).astype(np.float32)


def _real_bounds(scale: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flips = np.where(scale < 0, -1.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        bounds = -shift / np.abs(scale)
    # A scale of 0 leaves the sign of the shift.
    constant = np.where(shift >= 0, -np.inf, np.inf)
    return flips, np.where(scale == 0, constant, bounds)
