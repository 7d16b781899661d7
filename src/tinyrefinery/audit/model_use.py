"""Whether a network uses a shortcut: its predictions on images that contradict the shortcut."""

from dataclasses import dataclass

import numpy as np

from tinyrefinery.statistics.proportions import newcombe, wilson

FEWEST = 10  # our choice: with fewer conflicting images there is no verdict
HARMLESS = 0.05  # our choice: a difference below this counts as no use


@dataclass(frozen=True)
class Use:
    """A network's predictions on images that have the cue of a class but are of other classes."""

    verdict: str
    """USED, BRITTLE (more errors where the cue is present, in any direction), NOT USED, or
    UNPROVEN."""
    conflicting: int
    """Number of images of other classes with the cue."""
    drawn: float
    """Share of these that are predicted as the class."""
    others: int
    """Number of images of other classes without the cue."""
    called: float
    """Share of these that are predicted as the class."""
    low: float
    """Lower end of Newcombe's 95% interval of `drawn - called`."""
    high: float
    """Upper end."""


def use_of(cue: np.ndarray, labels: np.ndarray, predicted: np.ndarray, label: int) -> Use:
    """Judge whether a network uses a cue, from its predictions on N images, held out if possible.

    The class must be predicted for conflicting images more often than for images of other classes
    without the cue. But the cue may just make all images hard (darkness does). So with three or
    more classes, most errors on images with the cue must be toward the class, or at least a larger
    share of them than without the cue. With two classes, where errors have one direction only, the
    class itself must not lose accuracy by the cue.

    Args:
        cue: (N,) bool, whether the cue is present.
        labels: (N,) classes.
        predicted: (N,) classes.
        label: the class that the cue predicts.
    """
    other = labels != label
    conflicting, rest = cue & other, ~cue & other
    called = predicted == label
    a, n, b, m = (int(v.sum()) for v in (called & conflicting, conflicting, called & rest, rest))
    low, high = newcombe((a, b), (n, m))
    if n < FEWEST or m < FEWEST:
        verdict = "UNPROVEN"
    elif low > 0:
        verdict = "USED" if _is_drawn(cue, labels, predicted, label) else "BRITTLE"
    else:
        verdict = "NOT USED" if high < HARMLESS else "UNPROVEN"
    return Use(verdict, n, a / n if n else 0.0, m, b / m if m else 0.0, low, high)


def _is_drawn(cue: np.ndarray, labels: np.ndarray, predicted: np.ndarray, label: int) -> bool:
    """Whether the cue pulls predictions toward the class, rather than making all images hard."""
    of_class, called = labels == label, predicted == label
    many = len(np.unique(labels)) > 2
    # The errors on other classes; with two classes, the class's own images.
    within = ~of_class & (predicted != labels) if many else of_class
    a, n, b, m = (int(v.sum()) for c in (cue, ~cue) for v in (called & within & c, within & c))
    low, high = newcombe((a, b), (n, m))
    return low > 0 or wilson(a, n)[0] > 0.5 if many else high >= 0
