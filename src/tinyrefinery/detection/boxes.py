"""Images with ground-truth boxes, independent of the data source.

Boxes are (x1, y1, x2, y2) in pixels: the top left pixel extends from 0 to 1 in both directions, and
an image of width W from 0 to W. Classes count from 0 here. Detectors count them from 1, as class 0
is the background.
"""

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256

import numpy as np

from tinyrefinery.data.dataset import Problem
from tinyrefinery.data.images import Images


@dataclass(frozen=True)
class GroundTruth:
    """The ground-truth objects of one image."""

    boxes: np.ndarray
    """(n, 4) float32."""
    labels: np.ndarray
    """(n,) int64, classes from 0."""
    difficult: np.ndarray
    """(n,) bool: objects that count neither as missed nor as found."""

    @classmethod
    def nothing(cls) -> "GroundTruth":
        """An image without objects."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool))

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class BoxData:
    """A dataset of images with their objects."""

    name: str
    classes: tuple[str, ...]
    images: Images = field(repr=False)
    ids: tuple[str, ...] = field(repr=False)
    """SHA-256 of each image's bytes, hexadecimal."""
    paths: tuple[str, ...] = field(repr=False)
    """Path of each image, for people."""
    splits: np.ndarray = field(repr=False)
    """(N,) train, validation or test."""
    truth: tuple[GroundTruth, ...] = field(repr=False)
    problems: tuple[Problem, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, split: str) -> np.ndarray:
        """Numbers of the images of a split, int64."""
        return np.flatnonzero(self.splits == split)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of images, splits, classes and boxes, all that training and evaluation use."""
        digest = sha256("\x1f".join(self.classes).encode())
        for identity, split, truth in zip(self.ids, self.splits, self.truth, strict=True):
            digest.update(f"\x1e{identity}\x1f{split}\x1f{len(truth)}\x1f".encode())
            digest.update(truth.boxes.astype("<f4").tobytes())
            digest.update(truth.labels.astype("<i8").tobytes())
            digest.update(truth.difficult.astype("u1").tobytes())
        return digest.hexdigest()

    def counts(self, split: str) -> dict[str, int]:
        """Number of objects per class in a split."""
        labels = [np.zeros(0, np.int64), *(self.truth[row].labels for row in self.rows(split))]
        counts = np.bincount(np.concatenate(labels), minlength=len(self.classes))
        return {name: int(n) for name, n in zip(self.classes, counts, strict=True)}
