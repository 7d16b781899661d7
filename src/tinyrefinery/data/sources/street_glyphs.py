"""Handwritten digits as glyphs: high-resolution masters, and disjoint pools for the splits.

Source: the 1,797 digits in scikit-learn's `load_digits`, 8x8 pixels of 0-16 (E. Alpaydin and
C. Kaynak, Optical Recognition of Handwritten Digits, UCI repository, 1998).
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from tinyrefinery.errors import DataError
from tinyrefinery.random import permutation

MASTER = 32  # cells per side of a master, more than the height of any digit at default sizes
POOLS = {"train": 0.6, "validation": 0.15, "test": 0.25}  # our choice: at least 26 per digit each
_ZOOM = 6  # each source pixel becomes 6x6 before the outline is sharpened
_EDGE = 3.0  # slope of the outline at half ink: an edge about a third of a source pixel wide
_PAD = 2  # source pixels of paper around a glyph, for the cubic filter


@dataclass(frozen=True)
class Glyphs:
    """All glyphs, scaled so that the ink fills a square master."""

    masters: np.ndarray
    """Ink 0..1, (G, MASTER, MASTER) float64; rows from top, columns from left."""
    aspects: np.ndarray
    """Original width over height, (G,) float64."""
    values: np.ndarray
    """The digit, (G,) int64."""


@lru_cache(maxsize=1)
def load_glyphs() -> Glyphs:
    """Load all glyphs, in the order of the source.

    Raises:
        DataError: if scikit-learn is not installed.
    """
    table = _digits()  # (1797, 65): 64 pixels, then the digit
    pixels, values = table[:, :-1], table[:, -1]
    ink = _outline(pixels.reshape(-1, 8, 8) / 16.0)
    tops, heights = _extent(ink.max(axis=2))
    lefts, widths = _extent(ink.max(axis=1))
    centers = (np.arange(MASTER) + 0.5) / MASTER
    rows = triangle(tops[:, None] + centers * heights[:, None], heights / MASTER, ink.shape[1])
    columns = triangle(lefts[:, None] + centers * widths[:, None], widths / MASTER, ink.shape[2])
    masters = rows @ ink @ columns.transpose(0, 2, 1)
    return Glyphs(masters, widths / heights, values.astype(np.int64))


def _digits() -> np.ndarray:
    """The table behind `load_digits`, read from its file: to import scikit-learn takes seconds."""
    found = find_spec("sklearn")
    if found is None or found.origin is None:
        raise DataError(
            "street numbers need the digits of scikit-learn, which is not installed: "
            "pip install scikit-learn"
        )
    file = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if file.is_file():
        return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits  # a version that keeps them elsewhere

    pixels, values = load_digits(return_X_y=True)
    return np.column_stack([pixels, values])


def pool(seed: int, split: str, values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Glyph numbers for a split, one sorted array per digit 0..9.

    Glyphs of each digit are shuffled and divided by the shares of `POOLS`. So no glyph is in two
    pools.

    Args:
        seed: the dataset's seed.
        split: train, validation or test.
        values: the digit of each glyph, (G,).
    """
    start = sum(share for name, share in list(POOLS.items())[: list(POOLS).index(split)])
    pools = []
    for digit in range(10):
        glyphs = np.flatnonzero(values == digit)
        order = permutation(seed, "street glyphs", digit, len(glyphs))
        span = slice(round(start * len(glyphs)), round((start + POOLS[split]) * len(glyphs)))
        pools.append(np.sort(glyphs[order[span]]))
    return tuple(pools)


def triangle(centers: np.ndarray, reach: np.ndarray, cells: int) -> np.ndarray:
    """Weights of a triangle filter over a row of cells: (B, O, cells).

    Cell j covers j to j + 1. Its weight is the filter's area above it. Outside the row is paper
    (zero), so weights sum to one minus the filter's area outside.

    Args:
        centers: positions to sample, in cells, (B, O).
        reach: half width of the filter in cells, (B,), at least one.
        cells: length of the row.
    """
    edges = np.arange(cells + 1) - centers[:, :, None]  # (B, O, cells + 1)
    scaled = np.clip(edges / np.maximum(reach, 1.0)[:, None, None], -1.0, 1.0)
    integral = scaled - 0.5 * scaled * np.abs(scaled)  # of the triangle, from its center
    return np.diff(integral, axis=2)


def _outline(images: np.ndarray) -> np.ndarray:
    """Enlarge 8x8 gray digits and give them a smooth, nearly sharp outline."""
    side = images.shape[1] + 2 * _PAD
    padded = np.pad(images, ((0, 0), (_PAD, _PAD), (_PAD, _PAD)))
    centers = (np.arange(side * _ZOOM) + 0.5) / _ZOOM - 0.5
    distance = np.abs(centers[:, None] - np.arange(side))
    # Catmull-Rom (Keys, 1981, a = -1/2): passes through the source pixels.
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights = np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
    smooth = weights @ padded @ weights.T
    return np.clip((smooth - 0.5) * _EDGE + 0.5, 0.0, 1.0)


def _extent(profile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start and length of each glyph's ink along one axis, in cells."""
    has_ink = profile > 0.1
    first = has_ink.argmax(axis=1)
    end = profile.shape[1] - has_ink[:, ::-1].argmax(axis=1)
    return first.astype(float), (end - first).astype(float)
