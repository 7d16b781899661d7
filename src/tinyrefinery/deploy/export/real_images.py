"""Real images for an export: some to calibrate on, others to measure on. Never test images."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from tinyrefinery.data.batches import View
from tinyrefinery.errors import DataError
from tinyrefinery.models.file_values import to_pixels
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.network_data import NetworkData, open_network_data, rows_in
from tinyrefinery.networks.network_view import network_view
from tinyrefinery.options.sources import Source

_CHUNK = 64


@dataclass(frozen=True)
class LabeledPixels:
    """Images as a network takes them, before normalization."""

    pixels: np.ndarray = field(repr=False)
    """(N, h, w, C) uint8."""
    labels: np.ndarray = field(repr=False)
    """(N,) int64, in the network's classes."""
    split: str
    """Which images these are, for reports."""

    def __len__(self) -> int:
        return len(self.pixels)


class RealImages:
    """The images of an export."""

    def __init__(self, network: Network, source: Source | None = None) -> None:
        """Open the images of a network's run, or others.

        Raises:
            DataError: if the network has no run and no images are named.
        """
        self._own = source is None
        if self._own and network.recipe is None:
            raise DataError(
                f"{network.name}: no run records its images, and an export is measured on real "
                "ones. Name some, e.g. data.source.root=photos/"
            )
        self._data: NetworkData = open_network_data([network], source)
        self._view: View = network_view(network, self._data.dataset, torch.device("cpu"))
        self._rows = rows_in(self._data.manifest, ["any"])

    def to_measure(self, most: int) -> LabeledPixels:
        """At most so many images, drawn at random with a fixed seed.

        Of a run: its validation split, else its training split. Of other images: those that are
        not for calibration.
        """
        if not self._own:
            return self._take(self._halves()[1], most, "the named images")
        split = next((s for s in ("validation", "train") if s in self._rows), None)
        if split is None:
            raise DataError("the run has neither validation nor training images to measure on")
        return self._take(self._rows[split], most, f"the {split} split")

    def to_calibrate(self, most: int) -> LabeledPixels:
        """At most so many images: of a run its training split, of other images a part of them."""
        if not self._own:
            return self._take(self._halves()[0], most, "the named images")
        if "train" not in self._rows:
            raise DataError("the run has no training images to calibrate on")
        return self._take(self._rows["train"], most, "the train split")

    def _halves(self) -> tuple[np.ndarray, np.ndarray]:
        """Named images in two parts that share none: training images and others, else halves."""
        others = [rows for split, rows in self._rows.items() if split != "train"]
        if "train" in self._rows and others:
            return self._rows["train"], np.concatenate(others)
        rows = np.concatenate(list(self._rows.values()))
        rows = np.random.default_rng(0).permutation(rows)
        return rows[: len(rows) // 2], rows[len(rows) // 2 :]

    def _take(self, rows: np.ndarray, most: int, split: str) -> LabeledPixels:
        if not len(rows):
            raise DataError(f"{split}: has no images")
        chosen = np.sort(np.random.default_rng(0).permutation(rows)[:most])
        parts = [self._pixels(chosen[i : i + _CHUNK]) for i in range(0, len(chosen), _CHUNK)]
        labels = self._view.dataset.manifest.labels[chosen].astype(np.int64)
        return LabeledPixels(np.concatenate(parts), labels, split)

    def _pixels(self, rows: np.ndarray) -> np.ndarray:
        return to_pixels(self._view.pixels(rows, self._view.crops(rows, 0)).cpu().numpy())


def given_images(images: np.ndarray, labels: Sequence[int] | np.ndarray) -> LabeledPixels:
    """Images in memory, (N, h, w, C) uint8, and their labels."""
    return LabeledPixels(np.asarray(images, np.uint8), np.asarray(labels, np.int64), "given images")
