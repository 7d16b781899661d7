"""Whether an artifact predicts what its network predicts, on the same images."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from tinyrefinery.statistics.proportions import newcombe_paired

LARGEST_DIFFERENCE = 1e-4
"""Bound of a float artifact: difference of logits, as a share of the largest logit."""
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
) -> Parity:
    """Compare probabilities (n, K) of a network and its artifact.

    Args:
        expected: of the network.
        found: of the artifact.
        labels: (n,) given classes; None: unknown.
        images: which images, for people.
        max_drop: allowed drop in percentage points, of an int8 artifact; None: a float artifact.
    """
    one, other = (np.log(np.maximum(p.astype(np.float64), _LEAST)) for p in (expected, found))
    logit = float(np.abs(one - other).max() / np.abs(one).max())
    drop = None if labels is None else _drop(expected, found, labels)
    return Parity(
        images=images,
        n=len(expected),
        probability=float(np.abs(expected.astype(np.float64) - found).max()),
        logit=logit,
        agreement=float((expected.argmax(1) == found.argmax(1)).mean()),
        drop=drop,
        bound=LARGEST_DIFFERENCE if max_drop is None else max_drop,
        verdict=_verdict(logit, drop, max_drop),
    )


def _drop(expected: np.ndarray, found: np.ndarray, labels: np.ndarray) -> Drop:
    right, still = expected.argmax(1) == labels, found.argmax(1) == labels
    both, neither = int((right & still).sum()), int((~right & ~still).sum())
    lost, won = int((right & ~still).sum()), int((~right & still).sum())
    low, high = newcombe_paired(both, lost, won, neither)
    accuracies = float(right.mean()), float(still.mean())
    return Drop(*accuracies, 100 * (lost - won) / len(labels), 100 * low, 100 * high)


def _verdict(logit: float, drop: Drop | None, max_drop: float | None) -> Verdict:
    """A float artifact is judged by its logits, an int8 artifact by the interval of its drop."""
    if max_drop is None:
        return "PASS" if logit <= LARGEST_DIFFERENCE else "FAIL"
    if drop is None:
        return "UNPROVEN"
    if drop.low > max_drop:
        return "FAIL"
    return "PASS" if drop.high <= max_drop else "UNPROVEN"


def divergence(expected: np.ndarray, found: np.ndarray) -> float:
    """Mean Kullback-Leibler divergence of an artifact's predictions from the network's, in nats."""
    p, q = (np.maximum(each.astype(np.float64), _LEAST) for each in (expected, found))
    return float((p * np.log(p / q)).sum(axis=1).mean())
