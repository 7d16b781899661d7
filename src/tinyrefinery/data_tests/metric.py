"""Metrics of data tests: which images of a slice count, and which of these are hits."""

import re
from dataclasses import dataclass

import numpy as np

from tinyrefinery.errors import did_you_mean
from tinyrefinery.options.budget import ACCELERATORS

OF_ALL = ("accuracy", "errors", "flip_rate")
CYCLES = "cycles"
OF_DEVICE = ("flash", "ram", "macs", "latency", CYCLES)
"""What the network costs on a device, whatever the images: bytes, multiply-accumulates, ms."""
OF_A_CLASS = ("recall", "precision", "false_positive_rate")
GOOD = frozenset({"accuracy", "recall", "precision"})
"""Metrics where more is better. For the others, less is better."""
EVERY = "*"
"""In place of a class: one test per class."""


@dataclass(frozen=True)
class Metric:
    """A metric as a data test names it, e.g. `recall(person)`."""

    name: str
    category: str | None = None
    """Its class; of `cycles`, the accelerator."""

    def __str__(self) -> str:
        return self.name if self.category is None else f"{self.name}({self.category})"

    @property
    def more_is_better(self) -> bool:
        """Whether hits are good."""
        return self.name in GOOD

    @property
    def is_cost(self) -> bool:
        """Whether it depends on the network alone, not on images."""
        return self.name in OF_DEVICE

    @property
    def is_count(self) -> bool:
        """Whether it is a number of images rather than a share."""
        return self.name == "errors"


def is_cost(text: str) -> bool:
    """Whether a metric, as a data test names it, is a cost."""
    return text.partition("(")[0] in OF_DEVICE


def parse_metric(text: str) -> Metric:
    """Read `accuracy` or `recall(CLASS)`.

    Raises:
        ValueError: when the metric is unknown, or its class is missing or superfluous.
    """
    names = [*OF_ALL, *(f"{name}(CLASS)" for name in OF_A_CLASS), *OF_DEVICE[:-1]]
    names.append(f"{CYCLES}(ACCELERATOR)")
    known = (*OF_ALL, *OF_A_CLASS, *OF_DEVICE)
    match = re.fullmatch(r"\s*(\w+)\s*(?:\((.*)\))?\s*", text)
    name = match[1] if match else text
    if match is None or name not in known:
        hint = did_you_mean(name, known)
        raise ValueError(f"no metric is named '{name}'.{hint} Metrics: {', '.join(names)}")
    category = match[2].strip() if match[2] is not None else None
    if name in OF_A_CLASS and not category:
        raise ValueError(f"{name} needs a class: {name}(CLASS), or {name}(*) for every class")
    if name == CYCLES:
        if category not in ACCELERATORS:
            raise ValueError(f"cycles needs an accelerator: cycles({' or '.join(ACCELERATORS)})")
    elif name not in OF_A_CLASS and category is not None:
        raise ValueError(f"{name} takes no class: write {name}")
    return Metric(name, category)


@dataclass(frozen=True)
class Count:
    """Which images count for a metric, and which of these are hits. Both are (N,) bool."""

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
    unchanged: np.ndarray | None = None,
) -> Count:
    """Count a metric over N images.

    Args:
        metric: the metric.
        labels: (N,) classes.
        probabilities: (N, K) predictions.
        category: number of the metric's class.
        threshold: smallest probability at which the metric's class counts as predicted. By
            default, it counts where it is the most probable class.
        unchanged: (N, K) predictions for the unchanged images, for `flip_rate`.
    """
    predicted = probabilities.argmax(axis=1)
    all_images = np.ones(len(labels), bool)
    if metric.name == "flip_rate":
        assert unchanged is not None
        return Count(all_images, predicted != unchanged.argmax(axis=1))
    if category is None:
        correct = predicted == labels
        return Count(all_images, correct if metric.name == "accuracy" else ~correct)
    as_class = predicted == category
    if threshold is not None:
        as_class = probabilities[:, category] >= threshold
    of_class = labels == category
    if metric.name == "precision":
        return Count(as_class, of_class)
    return Count(of_class if metric.name == "recall" else ~of_class, as_class)
