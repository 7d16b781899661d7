"""Whether an artifact predicts what its network predicts, on the same images."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from tinyrefinery.statistics.proportions import newcombe_paired

LARGEST_DIFFERENCE = 1e-4
"""Bound of a float artifact: difference of logits, as a share of the largest logit."""
ROUNDING = 4.0
"""A float artifact may differ by this many times what the network itself loses to rounding. Then
its own error is at most three times the network's."""
MOST_WITH_SIGNS = 0.95
"""Share of the images that a packed artifact is judged by: those that differ least. Where a number
is within rounding of 0, its sign may differ, and then the logits of that image do."""
MAX_DROP = 0.5
"""Default bound of an int8 artifact: percentage points of accuracy."""
_LEAST = 1e-30
"""Probabilities below it count as it: float32 has no smaller ones that are exact."""
Verdict = Literal["PASS", "UNPROVEN", "FAIL"]


@dataclass(frozen=True)
class Drop:
    """Accuracy that an artifact loses against its network, on the same images."""

    network: float
    """Top-1 accuracy of the network, 0 to 1."""
    artifact: float
    """Top-1 accuracy of the artifact, 0 to 1."""
    points: float
    """Network's less the artifact's, in percentage points."""
    low: float
    """Lower end of the 95 % interval, in percentage points."""
    high: float
    """Upper end of the 95 % interval, in percentage points."""


@dataclass(frozen=True)
class Parity:
    """The comparison of an artifact with its network."""

    images: str
    """Which images, for people."""
    n: int
    probability: float
    """Largest difference of a probability."""
    logit: float
    """Largest difference of a log-probability, as a share of the largest one."""
    agreement: float
    """Share of images with the same predicted class."""
    drop: Drop | None
    """None without labels."""
    bound: float
    """Of `logit` for a float artifact, of `drop` in points for int8."""
    verdict: Verdict
    rounding: float | None = None
    """Of a float artifact that differs: `logit` of the network in float32 from itself in float64.
    None: it was not needed."""

    @property
    def images_needed(self) -> int | None:
        """About how many images would prove a drop like this one; None where none would.

        The width of an interval shrinks with the root of the number of images.
        """
        if self.drop is None or self.drop.points >= self.bound:
            return None
        margin = (self.drop.high - self.drop.points) / (self.bound - self.drop.points)
        return math.ceil(self.n * margin**2)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def compare(
    expected: np.ndarray,
    found: np.ndarray,
    labels: np.ndarray | None,
    images: str,
    *,
    max_drop: float | None,
    share: float = 1.0,
    exact: Callable[[], np.ndarray | None] = lambda: None,
) -> Parity:
    """Compare probabilities (n, K) of a network and its artifact.

    The largest difference of a float artifact is `LARGEST_DIFFERENCE`. Some networks amplify
    rounding: in float32 they differ by more from themselves in float64. No runtime can be closer
    to them than that, so `ROUNDING` times that error is then the bound. It is measured only where
    the artifact differs by more than `LARGEST_DIFFERENCE`, so no other network gets a wider bound.

    Args:
        expected: of the network.
        found: of the artifact.
        labels: (n,) given classes; None: unknown.
        images: which images, for people.
        max_drop: allowed drop in percentage points, of an int8 artifact; None: a float artifact.
        share: of the images, those that differ least, by which a float artifact is judged.
        exact: computes the network's probabilities in float64; None if it can't.
    """
    logit, rounding, bound = logit_difference(expected, found), None, max_drop
    judged = logit
    if bound is None:
        bound, judged = LARGEST_DIFFERENCE, logit_difference(expected, found, share)
        if judged > bound and (reference := exact()) is not None:
            rounding = logit_difference(reference, expected, share)
            bound = max(bound, ROUNDING * rounding)
    drop = None if labels is None else _drop(expected, found, labels)
    return Parity(
        images=images,
        n=len(expected),
        probability=float(np.abs(expected.astype(np.float64) - found).max()),
        logit=logit,
        agreement=float((expected.argmax(1) == found.argmax(1)).mean()),
        drop=drop,
        bound=bound,
        verdict=_float_verdict(judged, bound) if max_drop is None else _verdict(drop, max_drop),
        rounding=rounding,
    )


def logit_difference(expected: np.ndarray, found: np.ndarray, share: float = 1.0) -> float:
    """Largest difference of log-probabilities (n, K), as a share of the largest expected one.

    Only a share of the images counts: those that differ least.
    """
    one, other = (np.log(np.maximum(p.astype(np.float64), _LEAST)) for p in (expected, found))
    by_image = np.abs(one - other).max(axis=1)
    return float(np.quantile(by_image, share, method="lower") / np.abs(one).max())


def _drop(expected: np.ndarray, found: np.ndarray, labels: np.ndarray) -> Drop:
    right, still = expected.argmax(1) == labels, found.argmax(1) == labels
    both, neither = int((right & still).sum()), int((~right & ~still).sum())
    lost, won = int((right & ~still).sum()), int((~right & still).sum())
    low, high = newcombe_paired(both, lost, won, neither)
    accuracies = float(right.mean()), float(still.mean())
    return Drop(*accuracies, 100 * (lost - won) / len(labels), 100 * low, 100 * high)


def _float_verdict(logit: float, bound: float) -> Verdict:
    return "PASS" if logit <= bound else "FAIL"


def _verdict(drop: Drop | None, max_drop: float) -> Verdict:
    """An int8 artifact is judged by the interval of its drop."""
    if drop is None:
        return "UNPROVEN"
    if drop.low > max_drop:
        return "FAIL"
    return "PASS" if drop.high <= max_drop else "UNPROVEN"


def divergence(expected: np.ndarray, found: np.ndarray) -> float:
    """Mean Kullback-Leibler divergence of an artifact's predictions from the network's, in nats."""
    p, q = (np.maximum(each.astype(np.float64), _LEAST) for each in (expected, found))
    return float((p * np.log(p / q)).sum(axis=1).mean())
