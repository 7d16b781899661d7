"""A dataset, independent of its source."""

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from tinyrefinery.data.dataset_html import dataset_html
from tinyrefinery.data.images import Images
from tinyrefinery.data.manifest import Manifest


class CropTruth(Protocol):
    """True label distributions of crops, for data whose scenes are known."""

    def __call__(self, rows: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Distributions (B, K) float64 for boxes (B, 4) = top, left, height, width in pixels."""
        ...


@dataclass(frozen=True)
class Problem:
    """A defect of the data that does not prevent opening it."""

    kind: str
    """One of the kinds listed in `data.check`, e.g. broken_image."""
    where: str
    """File, row or class."""
    what: str
    """The defect, and how it was handled."""


@dataclass(frozen=True)
class Dataset:
    """A manifest with its pixels."""

    name: str
    manifest: Manifest
    images: Images = field(repr=False)
    truth: CropTruth | None = field(default=None, repr=False)
    problems: tuple[Problem, ...] = field(default=(), repr=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a label is an index into them."""
        return self.manifest.classes

    def _repr_html_(self) -> str:
        """Counts and pictures, for notebooks."""
        return dataset_html(self.name, self.manifest, self.images, len(self.problems))

    def select(self, rows: np.ndarray) -> "Dataset":
        """The dataset of some rows, in that order, with their pixels and true crop labels."""
        rows = np.asarray(rows, np.int64)
        truth = None if self.truth is None else SelectedTruth(self.truth, rows)
        manifest, images = self.manifest.select(rows), self.images.select(rows)
        return replace(self, truth=truth, manifest=manifest, images=images)


@dataclass(frozen=True)
class SelectedTruth:
    """True crop labels of a selection: row i of it is row `rows[i]` of `whole`."""

    whole: CropTruth = field(repr=False)
    rows: np.ndarray = field(repr=False)

    def __call__(self, rows: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Distributions (B, K) float64; see `CropTruth`."""
        return self.whole(self.rows[rows], boxes)
