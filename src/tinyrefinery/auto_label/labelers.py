"""Whatever can label images. A network of ours, of timm or in an ONNX file is a `NetworkPredictor`.

An HTTP endpoint is in `endpoint.py`.
"""

from dataclasses import replace
from typing import Protocol

import numpy as np

from tinyrefinery.data.dataset import Dataset


class Labeler(Protocol):
    """Gives each image a distribution over its classes."""

    @property
    def name(self) -> str:
        """For people, and for `label_source`."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """K names."""
        ...

    @property
    def channels(self) -> int:
        """Of the images it takes: 1 or 3."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what it sees, in pixels."""
        ...

    def __call__(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
        """Probabilities (n, K) float64; a row's sum is at most one."""
        ...


def with_manifest_of(dataset: Dataset, classes: tuple[str, ...]) -> Dataset:
    """A dataset under a labeler's classes.

    Raises:
        DataError: when it has a class that the labeler doesn't know.
    """
    return replace(dataset, manifest=dataset.manifest.with_classes(classes), truth=None)
