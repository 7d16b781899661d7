"""The manifest: one row per image, with its identity, split and label."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tinyrefinery.errors import DataError
from tinyrefinery.files import atomic_file

_SUM_TOLERANCE = 1e-6  # for sums of float64 shares
SPLITS = ("train", "validation", "test")
NEW = "new"
"""Split of images that a run does not know: they came after its training."""
UNLABELLED = "unlabelled"
"""Split of pictures without a class. They are trained on with refined labels only."""
NO_LABEL = -1
"""Label of these pictures, and of no others."""
SOFT = "soft_label"
"""Column of distributions over the classes, for images that people label differently."""
REQUIRED = {"id": pa.string(), "path": pa.string(), "label": pa.int64(), "split": pa.string()}


def numbered(texts: pa.ChunkedArray | np.ndarray) -> np.ndarray:
    """A number per text, (N,) int64: equal for equal texts, in order of appearance.

    Many times as fast as sorting them, as `np.unique` does.
    """
    column = pa.chunked_array([pa.array(texts)]) if isinstance(texts, np.ndarray) else texts
    codes = column.combine_chunks().dictionary_encode().indices
    return codes.to_numpy(zero_copy_only=False).astype(np.int64)


@dataclass(frozen=True)
class Manifest:
    """Rows of images as an Arrow table.

    Columns: `id` (SHA-256 of the image's bytes, hex), `path` (for people), `label` (index into
    `classes`), `split` (train, validation or test), then further columns of the source.

    Raises:
        DataError: if a required column is missing or has another type, or a label has no class.
    """

    table: pa.Table = field(repr=False)
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        for name, kind in REQUIRED.items():
            if name not in self.table.column_names:
                raise DataError(f"manifest: no column '{name}' (has {self.table.column_names})")
            if self.table.schema.field(name).type != kind:
                raise DataError(
                    f"manifest: column '{name}' is {self.table.schema.field(name).type}, not {kind}"
                )
        labels = self.labels
        known = labels if labels.min(initial=0) >= 0 else labels[self._are_labelled]
        if len(known) and (known.min() < 0 or known.max() >= len(self.classes)):
            raise DataError(
                f"manifest: labels are from {labels.min()} to {labels.max()}, "
                f"but there are {len(self.classes)} classes"
            )
        unknown = set(self.column("split")) - {*SPLITS, NEW, UNLABELLED}
        if unknown:
            raise DataError(f"manifest: unknown split {sorted(unknown)} (known: {list(SPLITS)})")

    def __len__(self) -> int:
        return self.table.num_rows

    @cached_property
    def labels(self) -> np.ndarray:
        """Given class of each row, (N,) int64."""
        return self.table.column("label").to_numpy()

    def column(self, name: str) -> np.ndarray:
        """Values of one column, (N,).

        Raises:
            DataError: if there is no such column.
        """
        if name not in self.table.column_names:
            raise DataError(f"manifest: no column '{name}' (has {self.table.column_names})")
        return self.table.column(name).to_numpy(zero_copy_only=False)

    @cached_property
    def contents(self) -> np.ndarray:
        """A number per row, (N,) int64: equal for images with the same id."""
        return numbered(self.table.column("id"))

    @property
    def _are_labelled(self) -> np.ndarray:
        return self.column("split") != UNLABELLED

    @cached_property
    def labelled(self) -> "Manifest":
        """The rows that have a label; itself if all have."""
        has_label = self._are_labelled
        return self if has_label.all() else self.select(np.flatnonzero(has_label))

    def rows(self, split: str) -> np.ndarray:
        """Row numbers of a split in manifest order, int64."""
        return np.flatnonzero(self.column("split") == split)

    def current_rows(self, ids: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Current rows of images from an earlier manifest, (n,) int64; -1 for missing images.

        Args:
            ids: (n,) ids of the images.
            rows: (n,) their earlier rows. They distinguish copies, which have the same id.
        """
        current = self.column("id")
        row_of = {identity: row for row, identity in enumerate(current)}
        unmoved = (rows < len(current)) & (current[np.minimum(rows, len(current) - 1)] == ids)
        return np.where(unmoved, rows, np.array([row_of.get(uid, -1) for uid in ids], np.int64))

    def select(self, rows: np.ndarray) -> "Manifest":
        """The manifest of some rows, in that order."""
        return Manifest(self.table.take(pa.array(rows, pa.int64())), self.classes)

    @cached_property
    def soft_labels(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows with a soft label, (S,) int64, and these labels, (S, K) float64.

        Raises:
            DataError: if one isn't a distribution over the classes.
        """
        k = len(self.classes)
        if SOFT not in self.table.column_names:
            return np.empty(0, np.int64), np.empty((0, k))
        column = self.table.column(SOFT)
        rows = np.flatnonzero(column.is_valid().to_numpy())
        soft = column.drop_null().to_pylist()
        for row, label in zip(rows, soft, strict=True):
            if len(label) != k or min(label) < 0 or abs(sum(label) - 1) > _SUM_TOLERANCE:
                raise DataError(
                    f"manifest: row {row}: {SOFT} is not a distribution over {k} classes"
                )
        return rows, np.array(soft, np.float64).reshape(len(rows), k)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over ids, hard and soft labels, splits and classes. Equal data, equal digest."""
        digest = sha256("\x1f".join(self.classes).encode())
        for column in ("id", "label", "split"):
            digest.update("\x1e".join(map(str, self.column(column))).encode())
        rows, targets = self.soft_labels
        if len(rows):
            digest.update(rows.tobytes() + targets.tobytes())
        return digest.hexdigest()

    def with_splits(self, splits: Sequence[str]) -> "Manifest":
        """The same rows in other splits, (N,)."""
        place = self.table.schema.get_field_index("split")
        column = pa.array(list(splits), pa.string())
        return Manifest(self.table.set_column(place, "split", column), self.classes)

    def with_classes(self, classes: tuple[str, ...]) -> "Manifest":
        """The same rows with another list of classes, which includes the current ones by name.

        Raises:
            DataError: if a class is missing from the list.
        """
        missing = [name for name in self.classes if name not in classes]
        if missing:
            raise DataError(f"classes {missing[:5]} are not among {list(classes)[:8]}")
        new_number = np.array([classes.index(name) for name in self.classes], dtype=np.int64)
        column = self.table.column_names.index("label")
        labels = pa.array(new_number[self.labels], pa.int64())
        table = self.table.set_column(column, "label", labels)
        rows, targets = self.soft_labels
        if len(rows):
            wide = np.zeros((len(rows), len(classes)))  # (S, K) -> (S, len(classes))
            wide[:, new_number] = targets
            soft = dict(zip(rows.tolist(), wide.tolist(), strict=True))
            values = pa.array([soft.get(row) for row in range(len(self))], pa.list_(pa.float64()))
            table = table.set_column(table.column_names.index(SOFT), SOFT, values)
        return Manifest(table, classes)

    def save(self, path: Path) -> None:
        """Write as Parquet, with the class names in the schema's metadata."""
        metadata = {b"classes": "\x1f".join(self.classes).encode()}
        with atomic_file(path) as temporary:
            pq.write_table(self.table.replace_schema_metadata(metadata), temporary)

    @classmethod
    def load(cls, path: Path) -> "Manifest":
        """Read a file written by `save`.

        Raises:
            DataError: if the file is missing, truncated or not a manifest.
        """
        try:
            table = pq.read_table(path)
            classes = table.schema.metadata[b"classes"].decode().split("\x1f")
        except (OSError, pa.ArrowInvalid, KeyError, TypeError) as error:
            raise DataError(f"{path}: not a readable manifest ({error})") from error
        return cls(table.replace_schema_metadata(None), tuple(classes))
