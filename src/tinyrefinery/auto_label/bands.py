"""Three bands for labels that nobody looked at: accept, review, reject; and what bounds them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, log

import numpy as np

from tinyrefinery.statistics.proportions import least_share

STEPS = 8
"""Our choice: thresholds tried for a class. Each more is another chance to be lucky, which costs
audited images to rule out; each less may pass over the best one."""
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
    """Least precision that these images show, see `choose_threshold`."""


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

    Of `STEPS` thresholds, which leave evenly more images, the one that accepts most with a lower
    bound of the precision, by Clopper and Pearson, at the precision or above. The bound is exact
    and shares its level among the thresholds (Bonferroni), so that a class whose precision breaks
    the promise at each of them gets one no more often than one less the confidence. Thresholds that
    leave too few images to show it are not tried; where all do, the one that accepts everything is.

    Args:
        category: the class, for the record.
        probabilities: (n,) of audited images that are called the class.
        right: (n,) bool, whether they are of it.
        precision: that must hold.
        least: audited images that it takes.
        confidence: that no threshold is chosen which breaks the promise.
    """
    order = np.argsort(-probabilities, kind="stable")
    ranked, hits = probabilities[order], np.cumsum(right[order])
    n = len(ranked)
    counts = _tried(n, precision, least, confidence) if n >= least else []
    level = (1 - confidence) / max(1, len(counts))
    for count in counts:
        count = int(np.searchsorted(-ranked, -ranked[count - 1], side="right"))  # all equal ones
        right_ones = int(hits[count - 1])
        if (low := least_share(right_ones, count, level)) >= precision:
            return Threshold(category, float(ranked[count - 1]), right_ones, count, low)
    everything = int(hits[-1]) if n else 0
    return Threshold(category, None, everything, n, least_share(everything, n, level))


def _tried(n: int, precision: float, least: int, confidence: float) -> list[int]:
    """How many of n images each threshold leaves, the most first; what they show plays no part."""
    level = (1 - confidence) / STEPS
    enough = max(least, ceil(log(level) / log(precision)))  # images that show it without an error
    if n < enough:
        return [n]
    return [int(count) for count in np.unique(np.linspace(enough, n, STEPS).astype(int))[::-1]]


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
        confidence: that a class's promise holds.
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
