"""What a set of pictures is like, as far as it decides how to train on it."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import DataError

SIDES = (32, 48, 64, 80, 96, 128)
"""Sides in pixels that are tried, of images as wide as high."""
_SAMPLE = 64  # pictures that are looked at for color and aspect
_GRAY = 4  # levels of 255 that the channels of a gray picture may differ by, as JPEG makes them
_SQUARE = 1.25  # longer side over shorter one up to which crops are square
_STEP = 8  # pixels; sides are multiples of it
_FEWEST = 10  # training pictures per class


@dataclass(frozen=True)
class Look:
    """Numbers of pictures, and their sizes."""

    train: int
    validation: int
    test: int
    classes: dict[str, int]
    """Training pictures of each class."""
    height: int
    """Median in pixels."""
    width: int
    channels: int

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Heights and widths of crops to try, smallest first, none larger than the pictures."""
        low, high = sorted((self.height, self.width))
        shape = (1.0, 1.0)
        if high > _SQUARE * low:
            ratio = (self.height / self.width) ** 0.5
            shape = (ratio, 1 / ratio)
        sizes = [(_side(side * shape[0]), _side(side * shape[1])) for side in SIDES]
        fitting = [size for size in sizes if size[0] <= self.height and size[1] <= self.width]
        return fitting or [(_side(self.height), _side(self.width))]

    @property
    def batch(self) -> int:
        """Crops per training step: few pictures are trained in small steps."""
        return 32 if self.train < 5_000 else 64 if self.train < 20_000 else 128

    @property
    def steps(self) -> int:
        """Training steps per epoch."""
        return max(1, self.train // self.batch)

    @property
    def imbalance(self) -> float:
        """Pictures of the largest class over those of the smallest."""
        return max(self.classes.values()) / max(1, min(self.classes.values()))

    def as_dict(self) -> dict[str, Any]:
        """For a page or a file."""
        return asdict(self)


def look_at(data: Dataset) -> Look:
    """Count a dataset.

    Raises:
        DataError: if there are too few classes or pictures to train on.
    """
    manifest = data.manifest
    rows = {split: manifest.rows(split) for split in ("train", "validation", "test")}
    counts = np.bincount(manifest.labels[rows["train"]], minlength=len(data.classes))
    if len(data.classes) < 2:
        raise DataError(
            f"{data.name}: has one class. A classifier needs at least two: add a folder of other "
            "pictures, e.g. background"
        )
    few = [name for name, count in zip(data.classes, counts, strict=True) if count < _FEWEST]
    if few:
        raise DataError(
            f"{data.name}: too few training pictures of {', '.join(few[:8])}"
            f"{f' and {len(few) - 8} other classes' if len(few) > 8 else ''}. Each class needs at "
            f"least {_FEWEST}, besides those for validation and test"
        )
    for split in ("validation", "test"):
        if not len(rows[split]):
            raise DataError(
                f"{data.name}: has no {split} pictures. Write {split}=0.2 to split off a fifth"
            )
    sizes = data.images.sizes[_not_test(data)]
    height, width = (int(side) for side in np.median(sizes, axis=0))
    return Look(
        *(len(rows[split]) for split in ("train", "validation", "test")),
        classes=dict(zip(data.classes, counts.tolist(), strict=True)),
        height=height,
        width=width,
        channels=data.images.channels,
    )


def is_gray(data: Dataset) -> bool:
    """Whether pictures that were opened in color have none, judged by a sample."""
    return data.images.channels == 3 and not colored(data)[0]


def colored(data: Dataset) -> tuple[int, int]:
    """How many pictures of a sample have color, and how many the sample has."""
    known = _not_test(data)
    rows = known[np.linspace(0, len(known) - 1, min(_SAMPLE, len(known))).astype(int)]
    found = sum(_spread(data.images.pixels(int(row))) > _GRAY for row in rows)
    return found, len(rows)


def _not_test(data: Dataset) -> np.ndarray:
    """Rows of the training and validation pictures: nothing is decided by the others."""
    return np.flatnonzero(data.manifest.column("split") != "test")


def _spread(pixels: np.ndarray) -> float:
    """How far the channels of a picture (H, W, C) differ, in levels: the 99th percentile."""
    levels = pixels.astype(np.int16)
    return float(np.percentile(levels.max(axis=-1) - levels.min(axis=-1), 99))


def _side(pixels: float) -> int:
    return max(_STEP, round(pixels / _STEP) * _STEP)
