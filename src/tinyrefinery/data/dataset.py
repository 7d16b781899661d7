"""A data set as the rest of the project sees it, whatever it was opened from."""

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from tinyrefinery.data.images import Images
from tinyrefinery.data.manifest import Manifest


class CropTruth(Protocol):
    """The true label distribution of a crop, where the scene is known."""

    def __call__(self, rows: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Distributions (B, K) float64 for boxes (B, 4) = top, left, height, width in pixels."""
        ...


@dataclass(frozen=True)
class Problem:
    """Something wrong with the data that did not stop it from being opened."""

    kind: str
    """One of the kinds that `data.check` and the sources name, e.g. broken_image."""
    where: str
    """File, row or class."""
    what: str
    """What was found and what was done about it."""


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

    def select(self, rows: np.ndarray) -> "Dataset":
        """The data set of some rows, in that order, with their pixels and crop truth."""
        rows = np.asarray(rows, np.int64)
        truth = None if self.truth is None else SelectedTruth(self.truth, rows)
        chosen = {"manifest": self.manifest.select(rows), "images": self.images.select(rows)}
        return replace(self, truth=truth, **chosen)


@dataclass(frozen=True)
class SelectedTruth:
    """The crop truth of a selection: row i of it is row `rows[i]` of the whole."""

    whole: CropTruth = field(repr=False)
    rows: np.ndarray = field(repr=False)

    def __call__(self, rows: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Distributions (B, K) float64, as `CropTruth` gives them."""
        return self.whole(self.rows[rows], boxes)
