"""Decoded pictures as datasets, cropped as a run crops its evaluation images."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.images import Images, ResidentImages
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.data.transforms import SMALL
from tinyrefinery.prediction.predictor import NetworkPredictor


class DecodedImages:
    """Decoded images of several sizes, uint8 (H, W, C) each: an `Images`."""

    def __init__(self, arrays: Sequence[np.ndarray], channels: int) -> None:
        self.arrays = list(arrays)
        self.channels = channels
        self.sizes = np.array([array.shape[:2] for array in arrays], np.int32).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self.arrays)

    def pixels(self, row: int) -> np.ndarray:
        """One image as uint8 (H, W, C)."""
        return self.arrays[row]

    def select(self, rows: np.ndarray) -> "DecodedImages":
        """The images of some rows, in that order, without copying."""
        return DecodedImages([self.arrays[row] for row in rows], self.channels)


def probabilities(predictor: NetworkPredictor, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Class probabilities (n, K) of decoded pictures, uint8 (H, W, C) each.

    Small pictures are resized without rounding to 8 bits, as a run resizes small images of one
    size. So a run's own pictures get its own predictions, whatever pictures they are given with.
    """
    found = np.empty((len(arrays), len(predictor.classes)))
    groups: dict[tuple[int, ...] | None, list[int]] = {}
    for place, array in enumerate(arrays):
        small = max(array.shape[:2]) <= SMALL
        groups.setdefault(array.shape if small else None, []).append(place)
    for shape, places in groups.items():
        chosen = [arrays[place] for place in places]
        images = _decoded(chosen) if shape is None else _resident(chosen)
        found[places] = predictor(_dataset(images), np.arange(len(places)))
    return found


def _decoded(arrays: Sequence[np.ndarray]) -> Images:
    return DecodedImages(arrays, arrays[0].shape[2])


def _resident(arrays: Sequence[np.ndarray]) -> Images:
    stacked = np.stack(arrays).transpose(0, 3, 1, 2)  # (n, H, W, C) -> (n, C, H, W)
    return ResidentImages(torch.from_numpy(np.ascontiguousarray(stacked)))


def _dataset(images: Images) -> Dataset:
    """Pictures as a dataset whose labels mean nothing."""
    names = [str(row) for row in range(len(images))]
    columns = {
        "id": pa.array(names, pa.string()),
        "path": pa.array(names, pa.string()),
        "label": pa.array([0] * len(names), pa.int64()),
        "split": pa.array(["test"] * len(names), pa.string()),
    }
    return Dataset("pictures", Manifest(pa.table(columns), ("unlabeled",)), images)
