"""Images with given boxes, as the rest of the detector sees them, whatever they came from.

Boxes are (x1, y1, x2, y2) in pixels: the top left pixel reaches from 0 to 1 in both directions, so
that an image of width W reaches from 0 to W. Given classes count from 0; detectors count from 1, as
their class 0 is the background.
"""

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256

import numpy as np

from tinyrefinery.data.dataset import Problem
from tinyrefinery.data.images import Images


@dataclass(frozen=True)
class Given:
    """The objects of one image."""

    boxes: np.ndarray
    """(n, 4) float32."""
    labels: np.ndarray
    """(n,) int64, numbers of classes from 0."""
    difficult: np.ndarray
    """(n,) bool: objects that a detector may miss or find without harm."""

    @classmethod
    def nothing(cls) -> "Given":
        """An image without objects."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool))

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class BoxData:
    """A set of images with their objects."""

    name: str
    classes: tuple[str, ...]
    images: Images = field(repr=False)
    ids: tuple[str, ...] = field(repr=False)
    """SHA-256 of each image's bytes, in hex."""
    paths: tuple[str, ...] = field(repr=False)
    """Where a person finds each image."""
    splits: np.ndarray = field(repr=False)
    """(N,) train, validation or test."""
    given: tuple[Given, ...] = field(repr=False)
    problems: tuple[Problem, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, split: str) -> np.ndarray:
        """Numbers of the images of a split, int64."""
        return np.flatnonzero(self.splits == split)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of images, splits, classes and boxes: whatever training and measures look at."""
        digest = sha256("\x1f".join(self.classes).encode())
        for identity, split, each in zip(self.ids, self.splits, self.given, strict=True):
            digest.update(f"\x1e{identity}\x1f{split}\x1f{len(each)}\x1f".encode())
            digest.update(each.boxes.astype("<f4").tobytes())
            digest.update(each.labels.astype("<i8").tobytes())
            digest.update(each.difficult.astype("u1").tobytes())
        return digest.hexdigest()

    def counts(self, split: str) -> dict[str, int]:
        """Objects of each class in a split."""
        labels = [self.given[row].labels for row in self.rows(split)]
        found = np.bincount(np.concatenate([*labels, np.zeros(0, np.int64)]).astype(np.int64))
        found = np.pad(found, (0, len(self.classes) - len(found)))
        return {name: int(n) for name, n in zip(self.classes, found, strict=True)}
