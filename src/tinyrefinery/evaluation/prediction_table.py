"""Predictions as a table: what a network said about each row, with its identity. Needs no torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tinyrefinery.errors import DataError
from tinyrefinery.files import writing

_SUM_TOLERANCE = 1e-3  # our choice: softmax in float32 over a thousand classes is within 1e-5


@dataclass(frozen=True)
class Predictions:
    """Probabilities of every class for N rows of a manifest.

    Raises:
        DataError: when lengths differ, a label has no class, or a row is no distribution (a network
            whose training diverged gives NaN).
    """

    ids: np.ndarray = field(repr=False)
    """(N,) str, SHA-256 of each image."""
    rows: np.ndarray = field(repr=False)
    """(N,) int64, row number in the manifest."""
    labels: np.ndarray = field(repr=False)
    """(N,) int64, given class."""
    probabilities: np.ndarray = field(repr=False)
    """(N, K) float32, rows sum to one."""
    classes: tuple[str, ...]
    """K names."""

    def __post_init__(self) -> None:
        shape = (len(self.rows), len(self.classes))
        if self.probabilities.shape != shape or not len(self.ids) == len(self.labels) == shape[0]:
            raise DataError(
                f"predictions: {len(self.ids)} ids, {len(self.rows)} rows, {len(self.labels)} "
                f"labels, {len(self.classes)} classes and probabilities {self.probabilities.shape}"
                " don't fit together"
            )
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < shape[1]:
            raise DataError(f"predictions: a label lies outside the {shape[1]} classes")
        off = np.abs(self.probabilities.sum(axis=1, dtype=np.float64) - 1)
        bad = np.flatnonzero(~(off < _SUM_TOLERANCE))  # NaN is bad too
        if len(bad):
            raise DataError(
                f"predictions: {len(bad)} of {len(off)} rows are no probabilities, first manifest "
                f"row {self.rows[bad[0]]}. If training diverged, try a lower learning rate."
            )

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def predicted(self) -> np.ndarray:
        """Most probable class, (N,) int64; the lowest number among equals."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def correct(self) -> np.ndarray:
        """Whether the most probable class is the label, (N,) bool."""
        return self.predicted == self.labels

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
        metadata = {"classes": json.dumps(self.classes, ensure_ascii=False)}
        with writing(path) as aside:
            pq.write_table(pa.table(columns, metadata=metadata), aside)

    @classmethod
    def load(cls, path: Path) -> "Predictions":
        """Read what `save` wrote, bit for bit.

        Raises:
            DataError: when the file is missing, truncated or holds no predictions.
        """
        try:
            table = pq.read_table(path)
            classes = tuple(json.loads(table.schema.metadata[b"classes"]))
            flat = table.column("probabilities").combine_chunks().flatten().to_numpy()
            return cls(
                ids=table.column("id").to_numpy(zero_copy_only=False),
                rows=table.column("row").to_numpy(),
                labels=table.column("label").to_numpy(),
                probabilities=flat.reshape(table.num_rows, len(classes)),
                classes=classes,
            )
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path}: no readable predictions ({error}). Evaluate the run again to remake it."
            ) from error


@dataclass(frozen=True)
class Answers:
    """What one network said of N images."""

    name: str
    """As people know the network."""
    probabilities: np.ndarray = field(repr=False)
    """(N, K); NaN in rows that it was not asked about."""
    perturbed: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    """The same for changed images, by `Perturbation.named`."""
