"""Handwritten digits as glyphs: clean masters, their ink, and pools that never mix.

Source: the 1,797 digits in scikit-learn's `load_digits`, 8x8 pixels of 0-16 (E. Alpaydin and
C. Kaynak, Optical Recognition of Handwritten Digits, UCI repository, 1998).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tinyrefinery.errors import DataError
from tinyrefinery.random import permutation

MASTER = 32  # cells a side of a master, finer than any digit is shown at the default sizes
POOLS = {"train": 0.6, "validation": 0.15, "test": 0.25}  # our choice: 26 or more a digit each
_ZOOM = 6  # source pixels are drawn out to 6x6 before the outline is cut
_EDGE = 3.0  # slope of the outline at half ink, a soft edge of about a third of a source pixel
_PAD = 2  # source pixels of paper around a glyph, so that the cubic filter sees its border


@dataclass(frozen=True)
class Glyphs:
    """All glyphs, each stretched so that its ink fills a square master."""

    masters: np.ndarray
    """Ink 0..1, (G, MASTER, MASTER) float64; rows run down, columns right."""
    aspects: np.ndarray
    """Width over height of the glyph as written, (G,) float64."""
    values: np.ndarray
    """The digit that the glyph shows, (G,) int64."""


@lru_cache(maxsize=1)
def load_glyphs() -> Glyphs:
    """Every glyph of the source, in its order.

    Raises:
        DataError: when scikit-learn, which carries the digits, is not installed.
    """
    try:
        from sklearn.datasets import load_digits  # slow to import, hence only here
    except ImportError as error:
        raise DataError(
            "street numbers are made of scikit-learn's digits, which is not installed: "
            "pip install scikit-learn"
        ) from error
    pixels, values = load_digits(return_X_y=True)
    ink = _outline(np.asarray(pixels).reshape(-1, 8, 8) / 16.0)
    tops, heights = _extent(ink.max(axis=2))
    lefts, widths = _extent(ink.max(axis=1))
    centers = (np.arange(MASTER) + 0.5) / MASTER
    rows = triangle(tops[:, None] + centers * heights[:, None], heights / MASTER, ink.shape[1])
    columns = triangle(lefts[:, None] + centers * widths[:, None], widths / MASTER, ink.shape[2])
    masters = rows @ ink @ columns.transpose(0, 2, 1)
    return Glyphs(masters, widths / heights, np.asarray(values, dtype=np.int64))


def pool(seed: int, split: str, values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Glyph numbers that a split may use, one sorted array for each digit 0..9.

    Each digit's glyphs are shuffled and cut by the shares of `POOLS`, hence no glyph is in two
    pools and every pool has each digit in the same share.

    Args:
        seed: the data set's seed.
        split: train, validation or test.
        values: the digit of every glyph, (G,).
    """
    start = sum(share for name, share in list(POOLS.items())[: list(POOLS).index(split)])
    chosen = []
    for digit in range(10):
        mine = np.flatnonzero(values == digit)
        order = permutation(seed, "street glyphs", digit, len(mine))
        cut = slice(round(start * len(mine)), round((start + POOLS[split]) * len(mine)))
        chosen.append(np.sort(mine[order[cut]]))
    return tuple(chosen)


def triangle(centers: np.ndarray, reach: np.ndarray, cells: int) -> np.ndarray:
    """Weights of a triangle filter over a row of cells: (B, O, cells).

    Cell j covers j to j + 1 and weighs the filter's area above it; beyond the row there is paper
    (zero). So weights sum to one, less what the filter reaches over the border.

    Args:
        centers: where to sample, in cells, (B, O).
        reach: half width of the filter in cells, (B,), taken as one where it is less.
        cells: length of the row that is sampled.
    """
    edges = np.arange(cells + 1) - centers[:, :, None]
    far = np.clip(edges / np.maximum(reach, 1.0)[:, None, None], -1.0, 1.0)
    below = far - 0.5 * far * np.abs(far)  # the triangle's integral from its center
    return np.diff(below, axis=2)


def _outline(images: np.ndarray) -> np.ndarray:
    """Draw 8x8 grey digits out to large ones with a smooth, nearly sharp outline."""
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
    """Where the ink of each glyph starts along one axis and how far it runs, in cells."""
    inked = profile > 0.1
    first = inked.argmax(axis=1)
    last = profile.shape[1] - inked[:, ::-1].argmax(axis=1)
    return first.astype(float), (last - first).astype(float)
