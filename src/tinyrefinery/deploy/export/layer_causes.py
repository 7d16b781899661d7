"""Why 8 bits are too few for the output of a layer, and what helps."""

from dataclasses import dataclass

import numpy as np

STEPS = 255
"""Between the smallest and the largest integer."""
_WIDE, _UNEVEN, _AWAY = 0.25, 8.0, 0.5
"""Our choices: shares of the range that are used, and the ratio of channels, that are named."""
_CENTRAL = 99.9
"""Percent of the values that count as the bulk."""


@dataclass(frozen=True)
class Cause:
    """Why a layer loses."""

    kind: str
    """`channel`, `range`, `zero point` or `none`."""
    reason: str
    """For people."""
    remedy: str
    """What helps, for people."""


def find_cause(values: np.ndarray, scale: float, zero: int, integers: np.dtype) -> Cause:
    """The first cause that applies: an outlier channel, a wide range, values away from zero.

    Args:
        values: (n, C, ...) float outputs of the layer.
        scale: real numbers per step.
        zero: the integer that stands for 0.
        integers: type of the integers.
    """
    low = (float(np.iinfo(integers).min) - zero) * scale
    width = STEPS * scale
    for cause in (_outlier_channel(values), _wide_range(values, width), _away(values, low, width)):
        if cause is not None:
            return cause
    return Cause("none", "no single cause: its values use the range evenly", "keep it in float")


def _outlier_channel(values: np.ndarray) -> Cause | None:
    """All channels share one scale, so one large channel leaves few steps to the others."""
    if values.ndim < 2 or values.shape[1] < 4:
        return None
    by_channel = np.abs(np.moveaxis(values, 1, 0)).reshape(values.shape[1], -1).max(axis=1)
    largest, used = int(by_channel.argmax()), by_channel[by_channel > 0]
    median = float(np.median(used)) if used.size else 0.0
    if by_channel[largest] <= _UNEVEN * median or not used.size:
        return None
    steps = max(round(STEPS * median / by_channel[largest]), 1)
    return Cause(
        "channel",
        f"outlier channel {largest}: {by_channel[largest] / median:.0f} times the median channel, "
        f"which is left about {steps} of {STEPS} steps",
        "move the channel's scale into the next layer, or keep this layer in float",
    )


def _wide_range(values: np.ndarray, width: float) -> Cause | None:
    """A few large values set the range of all."""
    tail = (100 - _CENTRAL) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    share = float(high - low) / width
    spread = float(values.max() - values.min())
    if share >= _WIDE or spread < _AWAY * width:
        return None
    return Cause(
        "range",
        f"range: {_CENTRAL:g} % of the values lie in {share:.0%} of it",
        "calibrate by percentile or entropy, or bound the activation (relu6)",
    )


def _away(values: np.ndarray, low: float, width: float) -> Cause | None:
    """The range has to contain zero, so steps are wasted where values lie away from it."""
    share = float(values.max() - values.min()) / width
    if share >= _AWAY:
        return None
    return Cause(
        "zero point",
        f"zero point: values lie from {values.min():.3g} to {values.max():.3g}, {share:.0%} of the "
        f"range {low:.3g} to {low + width:.3g}, which has to contain 0",
        "shift its values to 0 by a bias or batch normalization, or use more calibration images",
    )
