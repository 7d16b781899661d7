"""The true label distribution of any crop of a street-number scene.

The scene is known: which glyph lies where. A crop that shows enough of a digit's ink says which
digit it is; one that shows too little leaves its ten values equally likely; in between the two are
mixed. The distribution over house numbers is the product over the digits.

It judges a crop with the scene at hand: of a crop that shows a lone 7, the truth knows whether the
7 stood left or right, a reader of the pixels may have to guess. It ignores zoom, noise, contrast.
"""

from collections.abc import Sequence

import numpy as np

from tinyrefinery.data.sources.street_glyphs import MASTER, Glyphs
from tinyrefinery.data.sources.street_layout import Layout, digits_of

UNREADABLE = 0.3  # our choice: with less of its ink in sight, a digit tells nothing
READABLE = 0.7  # our choice: with more, it is read without doubt


class StreetTruth:
    """Crop truth of all scenes of a data set, in manifest order (a `CropTruth`)."""

    def __init__(self, layouts: Sequence[Layout], glyphs: Glyphs) -> None:
        """Keep where every digit of the scenes lies, and the ink of every glyph once."""
        self._tables = _ink_tables(glyphs.masters)
        self._glyphs = np.concatenate([layout.glyphs for layout in layouts])
        self._places = np.concatenate([layout.places for layout in layouts])
        labels = np.concatenate([layout.labels for layout in layouts])
        self._values = digits_of(labels, self._glyphs.shape[1])

    def visible(self, rows: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Share of each digit's ink that a crop shows, (B, digits) float64 in 0..1.

        Args:
            rows: manifest rows, (B,).
            boxes: top, left, height, width in source pixels, (B, 4), may reach outside the image.
        """
        places, tables = self._places[rows], self._glyphs[rows]
        start = (boxes[:, None, :2] - places[..., :2]) / places[..., 2:]
        end = (boxes[:, None, :2] + boxes[:, None, 2:] - places[..., :2]) / places[..., 2:]
        top, left = np.moveaxis(np.clip(start * MASTER, 0, MASTER), 2, 0)
        bottom, right = np.moveaxis(np.clip(end * MASTER, 0, MASTER), 2, 0)
        whole = self._sum(tables, bottom, right) - self._sum(tables, top, right)
        part = whole - self._sum(tables, bottom, left) + self._sum(tables, top, left)
        return np.clip(part, 0.0, 1.0)

    def __call__(self, rows: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Distributions over house numbers, (B, K) float64; arguments as in `visible`."""
        rows, boxes = np.asarray(rows), np.asarray(boxes, dtype=np.float64)
        read = np.clip((self.visible(rows, boxes) - UNREADABLE) / (READABLE - UNREADABLE), 0.0, 1.0)
        each = np.repeat((1 - read)[..., None] / 10, 10, axis=2)
        each += read[..., None] * np.eye(10)[self._values[rows]]
        joint = np.ones((len(rows), 1))
        for digit in np.moveaxis(each, 1, 0):
            joint = (joint[:, :, None] * digit[:, None, :]).reshape(len(rows), -1)
        return joint

    def _sum(self, tables: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Ink above `down` and left of `right` (in cells), between table entries linear."""
        row = np.minimum(down.astype(np.int64), MASTER - 1)
        column = np.minimum(right.astype(np.int64), MASTER - 1)
        y, x = down - row, right - column
        above = (
            self._tables[tables, row, column] * (1 - x) + self._tables[tables, row, column + 1] * x
        )
        below = self._tables[tables, row + 1, column] * (1 - x)
        below = below + self._tables[tables, row + 1, column + 1] * x
        return above * (1 - y) + below * y


def _ink_tables(masters: np.ndarray) -> np.ndarray:
    """Summed-area tables (Crow, 1984) of the masters' ink, total one, (G, MASTER+1, MASTER+1)."""
    tables = np.pad(masters.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
    return tables / tables[:, -1:, -1:]
