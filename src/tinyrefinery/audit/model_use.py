"""Whether a network uses a shortcut: what it calls the images that contradict it."""

from dataclasses import dataclass

import numpy as np

from tinyrefinery.statistics.proportions import newcombe, wilson

FEWEST = 10  # our choice: conflicting images, below which nothing can be said
HARMLESS = 0.05  # our choice: share of conflicting images that may be drawn to the class


@dataclass(frozen=True)
class Use:
    """How a network treats images that have the cue of a class but are not of it."""

    verdict: str
    """USED, BRITTLE (it errs more where the cue holds, in whatever direction), NOT USED, or
    UNPROVEN."""
    conflicting: int
    """Images with the cue and of other classes."""
    drawn: float
    """Share of them that are called the class."""
    others: int
    """Images without the cue and of other classes."""
    called: float
    """Share of them that are called the class."""
    low: float
    """Newcombe's 95 % interval of the difference of the two."""
    high: float


def use_of(cue: np.ndarray, labels: np.ndarray, predicted: np.ndarray, label: int) -> Use:
    """Judge a network by what it says of N images, best ones it was not trained on.

    Conflicting images must be called the class more often than images of the same other classes
    without the cue. That alone could mean that the cue makes images hard (dark ones are), and
    nothing else. So with three or more classes, of the errors where the cue holds most must go to
    that class, or at least a larger share than where it doesn't; with two, where all errors go one
    way, the class itself must not suffer from the cue.

    Args:
        cue: (N,) bool, where the cue holds.
        labels: (N,) classes.
        predicted: (N,) classes.
        label: the class that the cue speaks for.
    """
    other = labels != label
    conflict, rest = cue & other, ~cue & other
    called = predicted == label
    a, n, b, m = (int(v.sum()) for v in (called & conflict, conflict, called & rest, rest))
    low, high = newcombe((a, b), (n, m))
    if n < FEWEST or m < FEWEST:
        verdict = "UNPROVEN"
    elif low > 0:
        verdict = "USED" if _is_drawn(cue, labels, predicted, label) else "BRITTLE"
    else:
        verdict = "NOT USED" if high < HARMLESS else "UNPROVEN"
    return Use(verdict, n, a / n if n else 0.0, m, b / m if m else 0.0, low, high)


def _is_drawn(cue: np.ndarray, labels: np.ndarray, predicted: np.ndarray, label: int) -> bool:
    """Whether the cue draws images to the class, rather than making all of them hard."""
    own, called = labels == label, predicted == label
    many = len(np.unique(labels)) > 2
    within = ~own & (predicted != labels) if many else own
    a, n, b, m = (int(v.sum()) for c in (cue, ~cue) for v in (called & within & c, within & c))
    low, high = newcombe((a, b), (n, m))
    return low > 0 or wilson(a, n)[0] > 0.5 if many else high >= 0
