"""Metrics of data tests: which images of a slice count, and which of them are hits."""

import re
from dataclasses import dataclass

import numpy as np

from tinyrefinery.names import did_you_mean

OF_ALL = ("accuracy", "errors", "flip_rate")
OF_A_CLASS = ("recall", "precision", "false_positive_rate")
GOOD = frozenset({"accuracy", "recall", "precision"})
"""Metrics of which more is better; of the others, less is."""
EVERY = "*"
"""Stands for each class in turn."""


@dataclass(frozen=True)
class Metric:
    """A metric as a data test names it, e.g. `recall(person)`."""

    name: str
    category: str | None = None

    def __str__(self) -> str:
        return self.name if self.category is None else f"{self.name}({self.category})"

    @property
    def more_is_better(self) -> bool:
        """Whether a hit is a good thing."""
        return self.name in GOOD

    @property
    def is_count(self) -> bool:
        """Whether it counts images rather than giving their share."""
        return self.name == "errors"


def parse_metric(text: str) -> Metric:
    """Read `accuracy` or `recall(CLASS)`.

    Raises:
        ValueError: when there is no such metric, or its class is missing or too much.
    """
    known = [*OF_ALL, *(f"{name}(CLASS)" for name in OF_A_CLASS)]
    match = re.fullmatch(r"\s*(\w+)\s*(?:\((.*)\))?\s*", text)
    name = match[1] if match else text
    if match is None or name not in (*OF_ALL, *OF_A_CLASS):
        hint = did_you_mean(name, (*OF_ALL, *OF_A_CLASS))
        raise ValueError(f"no metric is named '{name}'.{hint} Known: {', '.join(known)}")
    category = match[2].strip() if match[2] is not None else None
    if name in OF_A_CLASS and not category:
        raise ValueError(f"{name} needs a class: {name}(CLASS), or {name}(*) for each of them")
    if name in OF_ALL and category is not None:
        raise ValueError(f"{name} is of all images and takes no class")
    return Metric(name, category)


@dataclass(frozen=True)
class Count:
    """Which images count for a metric, and which of them are hits; both (N,) bool."""

    inside: np.ndarray
    hit: np.ndarray

    @property
    def hits(self) -> int:
        """Number of hits."""
        return int(np.count_nonzero(self.hit & self.inside))

    @property
    def n(self) -> int:
        """Number of images that count."""
        return int(np.count_nonzero(self.inside))


def count(
    metric: Metric,
    labels: np.ndarray,
    probabilities: np.ndarray,
    category: int | None,
    *,
    threshold: float | None = None,
    undisturbed: np.ndarray | None = None,
) -> Count:
    """Count a metric over N images.

    Args:
        metric: what to count.
        labels: (N,) given classes.
        probabilities: (N, K) of the network.
        category: number of the metric's class.
        threshold: probability from which on the metric's class counts as predicted; else it does
            where it is the most probable one.
        undisturbed: (N, K) of the images as they are, for `flip_rate`.
    """
    predicted = probabilities.argmax(axis=1)
    everything = np.ones(len(labels), bool)
    if metric.name == "flip_rate":
        assert undisturbed is not None
        return Count(everything, predicted != undisturbed.argmax(axis=1))
    if category is None:
        right = predicted == labels
        return Count(everything, right if metric.name == "accuracy" else ~right)
    said = predicted == category
    if threshold is not None:
        said = probabilities[:, category] >= threshold
    of_class = labels == category
    if metric.name == "precision":
        return Count(said, of_class)
    return Count(of_class if metric.name == "recall" else ~of_class, said)
