"""Three bands for labels that nobody looked at: accept, review, reject; and what bounds them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tinyrefinery.evaluation.proportions import wilson

MOST_STEPS = 20
"""Our choice: thresholds tried for a class. Each more is another chance to be lucky."""
ACCEPT, REVIEW, REJECT = "accept", "review", "reject"


@dataclass(frozen=True)
class Threshold:
    """From which probability on a class is accepted, and why."""

    category: str
    bound: float | None
    """Least probability; None: no threshold keeps the precision, people look at this class."""
    hits: int
    """Audited images at or above it that are of the class."""
    n: int
    """Audited images at or above it that are called the class."""
    low: float
    """Wilson's interval of the precision."""
    high: float


def choose_threshold(
    category: str,
    probabilities: np.ndarray,
    right: np.ndarray,
    *,
    precision: float,
    least: int,
    confidence: float = 0.95,
) -> Threshold:
    """The least probability at which the audited precision of one class holds.

    Of at most `MOST_STEPS` thresholds, which leave evenly more images, the one that accepts most
    with the lower end of Wilson's interval at the precision or above. It is chosen by looking, so
    its own interval is a little too good; the standing audit of accepted labels is the proof.

    Args:
        category: the class, for the record.
        probabilities: (n,) of audited images that are called the class.
        right: (n,) bool, whether they are of it.
        precision: that must hold.
        least: audited images that it takes.
        confidence: of the interval.
    """
    order = np.argsort(-probabilities, kind="stable")
    ranked, hits = probabilities[order], np.cumsum(right[order])
    n = len(ranked)
    empty = Threshold(category, None, int(right.sum()), n, 0.0, 1.0)
    if n < least:
        return empty
    for count in np.unique(np.linspace(least, n, MOST_STEPS).astype(int))[::-1]:
        count = int(np.searchsorted(-ranked, -ranked[count - 1], side="right"))  # all equal ones
        low, high = wilson(int(hits[count - 1]), count, confidence)
        if low >= precision:
            bound = float(ranked[count - 1])
            return Threshold(category, bound, int(hits[count - 1]), count, low, high)
    low, high = wilson(int(hits[-1]), n, confidence)
    return Threshold(category, None, int(hits[-1]), n, low, high)


def choose_thresholds(
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    precision: float = 0.98,
    least: int = 100,
    confidence: float = 0.95,
) -> list[Threshold]:
    """A threshold for each class, from images that people labelled.

    Args:
        probabilities: (n, K).
        labels: (n,) true classes.
        classes: K names.
        precision: that must hold for each class.
        least: audited images of a class that it takes.
        confidence: of the intervals.
    """
    called, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    found = []
    for number, category in enumerate(classes):
        own = called == number
        right = labels[own] == number
        limits = {"precision": precision, "least": least, "confidence": confidence}
        found.append(choose_threshold(category, sure[own], right, **limits))
    return found


@dataclass(frozen=True)
class Bands:
    """What becomes of N images."""

    band: np.ndarray = field(repr=False)
    """(N,) accept, review or reject."""
    called: np.ndarray = field(repr=False)
    """(N,) most probable class."""
    sure: np.ndarray = field(repr=False)
    """(N,) its probability."""

    def rows(self, band: str) -> np.ndarray:
        """Images of a band."""
        return np.flatnonzero(self.band == band)


def into_bands(
    probabilities: np.ndarray, thresholds: Sequence[Threshold], reject_below: float = 0.0
) -> Bands:
    """Accept what reaches its class's threshold, reject what no class fits, review the rest.

    Args:
        probabilities: (N, K).
        thresholds: K.
        reject_below: probability below which no class fits.
    """
    called, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    bounds = np.array([np.inf if each.bound is None else each.bound for each in thresholds])
    band = np.where(sure >= bounds[called], ACCEPT, np.where(sure < reject_below, REJECT, REVIEW))
    return Bands(band, called, sure)
