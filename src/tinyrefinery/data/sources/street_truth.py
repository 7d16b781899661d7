"""The true label distribution of any crop of a street-number scene.

The glyphs and their positions are known. A crop that shows enough of a digit's ink determines the
digit. One that shows too little leaves its ten values equally likely. In between, the two are
mixed. The distribution over house numbers is the product over the digits.

The truth uses the scene, not only the pixels: for a crop with a single 7 it includes whether the 7
is the left or the right digit, which pixels may not show. Zoom, noise and contrast have no effect.
"""

from collections.abc import Sequence

import numpy as np

from tinyrefinery.data.sources.street_glyphs import MASTER, Glyphs
from tinyrefinery.data.sources.street_layout import Layout, digits_of

UNREADABLE = 0.3  # our choice: a digit with less visible ink is unreadable
READABLE = 0.7  # our choice: a digit with more visible ink is fully readable


class StreetTruth:
    """True crop labels of all scenes of a dataset, in manifest order (a `CropTruth`)."""

    def __init__(self, layouts: Sequence[Layout], glyphs: Glyphs) -> None:
        """Store the positions of all digits, and the ink of each glyph."""
        self._tables = _ink_tables(glyphs.masters)
        self._glyphs = np.concatenate([layout.glyphs for layout in layouts])
        self._places = np.concatenate([layout.places for layout in layouts])
        labels = np.concatenate([layout.labels for layout in layouts])
        self._values = digits_of(labels, self._glyphs.shape[1])

    def visible(self, rows: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Share of each digit's ink that a crop shows, (B, digits) float64 in 0..1.

        Args:
            rows: manifest rows, (B,).
            boxes: top, left, height, width in source pixels, (B, 4); may extend beyond the image.
        """
        places, tables = self._places[rows], self._glyphs[rows]
        # (B, D, 2): corners of the crop relative to each digit's box, in shares of its size
        start = (boxes[:, None, :2] - places[..., :2]) / places[..., 2:]
        end = (boxes[:, None, :2] + boxes[:, None, 2:] - places[..., :2]) / places[..., 2:]
        top, left = np.moveaxis(np.clip(start * MASTER, 0, MASTER), 2, 0)
        bottom, right = np.moveaxis(np.clip(end * MASTER, 0, MASTER), 2, 0)
        ink = self._sum(tables, bottom, right) - self._sum(tables, top, right)
        ink = ink - self._sum(tables, bottom, left) + self._sum(tables, top, left)
        return np.clip(ink, 0.0, 1.0)

    def __call__(self, rows: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Distributions over house numbers, (B, K) float64; arguments as in `visible`."""
        rows, boxes = np.asarray(rows), np.asarray(boxes, dtype=np.float64)
        visible = self.visible(rows, boxes)
        certainty = np.clip((visible - UNREADABLE) / (READABLE - UNREADABLE), 0.0, 1.0)
        digits = np.repeat((1 - certainty)[..., None] / 10, 10, axis=2)  # (B, D, 10)
        digits += certainty[..., None] * np.eye(10)[self._values[rows]]
        joint = np.ones((len(rows), 1))
        for digit in np.moveaxis(digits, 1, 0):  # (B, k) and (B, 10) -> (B, 10 k)
            joint = (joint[:, :, None] * digit[:, None, :]).reshape(len(rows), -1)
        return joint

    def _sum(self, tables: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Ink above `down` and left of `right` (in cells), linear between table entries."""
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
    """Summed-area tables (Crow, 1984) of the masters' ink, total one: (G, MASTER+1, MASTER+1)."""
    tables = np.pad(masters.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
    return tables / tables[:, -1:, -1:]
