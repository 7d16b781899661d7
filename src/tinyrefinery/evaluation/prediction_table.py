"""Predictions as a table: class probabilities per row, with its identity. Needs no torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tinyrefinery.errors import DataError
from tinyrefinery.files import atomic_file
from tinyrefinery.reading.digests import DIGEST
from tinyrefinery.reading.json_text import parse_json

_SUM_TOLERANCE = 1e-3  # our choice; a float32 softmax over a thousand classes is within 1e-5


@dataclass(frozen=True)
class Predictions:
    """Probabilities of all classes for N rows of a manifest.

    Raises:
        DataError: if lengths differ, a label is not a class number, or a row is not a distribution
            (a diverged network predicts NaN).
    """

    ids: np.ndarray = field(repr=False)
    """(N,) str, SHA-256 of each image."""
    rows: np.ndarray = field(repr=False)
    """(N,) int64, row numbers in the manifest."""
    labels: np.ndarray = field(repr=False)
    """(N,) int64, given classes."""
    probabilities: np.ndarray = field(repr=False)
    """(N, K) float32, rows sum to one."""
    classes: tuple[str, ...]
    """K names."""

    def __post_init__(self) -> None:
        shape = (len(self.rows), len(self.classes))
        if self.probabilities.shape != shape or not len(self.ids) == len(self.labels) == shape[0]:
            raise DataError(
                f"predictions: sizes don't match: {len(self.ids)} ids, {len(self.rows)} rows, "
                f"{len(self.labels)} labels, {len(self.classes)} classes, probabilities "
                f"{self.probabilities.shape}"
            )
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < shape[1]:
            raise DataError(f"predictions: a label is not one of the {shape[1]} classes")
        error = np.abs(self.probabilities.sum(axis=1, dtype=np.float64) - 1)
        bad = np.flatnonzero(~(error < _SUM_TOLERANCE))  # also NaN
        if len(bad):
            raise DataError(
                f"predictions: {len(bad)} of {len(error)} rows don't sum to one, first manifest "
                f"row {self.rows[bad[0]]}. If training diverged, try a lower learning rate."
            )

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def predicted(self) -> np.ndarray:
        """Most probable class, (N,) int64; the lowest number among ties."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def correct(self) -> np.ndarray:
        """Whether the most probable class is the label, (N,) bool."""
        return self.predicted == self.labels

    @property
    def digest(self) -> str:
        """SHA-256 of all values, by which a damaged file is found."""
        text = json.dumps([self.classes, self.ids.tolist()])
        digest = sha256(text.encode("utf-8", "surrogatepass"))
        for values, kind in ((self.rows, "<i8"), (self.labels, "<i8"), (self.probabilities, "<f4")):
            digest.update(np.ascontiguousarray(values, kind).tobytes())
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write as Parquet: id, row, label, predicted, probabilities; class names as metadata."""
        flat = pa.array(np.ascontiguousarray(self.probabilities, np.float32).reshape(-1))
        columns = {
            "id": pa.array(self.ids.tolist(), pa.string()),
            "row": pa.array(self.rows, pa.int64()),
            "label": pa.array(self.labels, pa.int64()),
            "predicted": pa.array(self.predicted, pa.int64()),
            "probabilities": pa.FixedSizeListArray.from_arrays(flat, len(self.classes)),
        }
        classes = json.dumps(self.classes, ensure_ascii=False)
        metadata = {"classes": classes, DIGEST: self.digest}
        with atomic_file(path) as temporary:
            pq.write_table(pa.table(columns, metadata=metadata), temporary)

    @classmethod
    def load(cls, path: Path) -> "Predictions":
        """Read a file written by `save`, bit for bit.

        Raises:
            DataError: if the file is missing, truncated or holds no predictions.
        """
        try:
            table = pq.read_table(path)
            metadata = table.schema.metadata
            classes = tuple(parse_json(metadata[b"classes"], path))
            flat = table.column("probabilities").combine_chunks().flatten().to_numpy()
            loaded = cls(
                ids=table.column("id").to_numpy(zero_copy_only=False),
                rows=table.column("row").to_numpy(),
                labels=table.column("label").to_numpy(),
                probabilities=flat.reshape(table.num_rows, len(classes)),
                classes=classes,
            )
        except DataError:
            raise
        except Exception as error:  # damaged Parquet files raise almost anything
            raise DataError(
                f"{path}: no readable predictions ({error}). Evaluate the run again."
            ) from error
        if metadata.get(DIGEST.encode(), loaded.digest.encode()) != loaded.digest.encode():
            raise DataError(f"{path}: is damaged (its digest differs). Evaluate the run again.")
        return loaded


@dataclass(frozen=True)
class ModelPredictions:
    """Predictions of one network on N images."""

    name: str
    """Display name of the network."""
    probabilities: np.ndarray = field(repr=False)
    """(N, K); NaN in rows without a prediction."""
    perturbed: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    """The same for perturbed images, by `Perturbation.named`."""
