"""What people said of images: distributions over the classes, joined to a data set by a key.

A Parquet file with a line an image: a key (say the image's path) and either one list column with a
number a class, or a column a class. The numbers are votes, or probabilities. CIFAR-10H (Peterson et
al., 2019, "Human uncertainty makes classification more robust") comes this way, and so can anyone's
own annotations.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tinyrefinery.data.manifest import Manifest
from tinyrefinery.errors import DataError
from tinyrefinery.names import did_you_mean

KEYS = ("path", "id")
"""Columns that identify an image beyond doubt, tried in this order where no key is named."""
COLUMNS = ("human_counts", "counts", "votes", "human_probs", "probabilities")
"""Columns tried in this order where none is named; votes come first, as they tell their number."""


@dataclass(frozen=True)
class HumanLabels:
    """Distributions that people gave, for M rows of a manifest."""

    rows: np.ndarray = field(repr=False)
    """(M,) int64 manifest rows, ascending."""
    distributions: np.ndarray = field(repr=False)
    """(M, K) float64, rows sum to one."""
    votes: np.ndarray | None = field(repr=False)
    """(M,) float64, votes an image; None where the file holds probabilities."""
    unmatched: int
    """Lines of the file that belong to no image of the data set, or to none of the split."""

    def __len__(self) -> int:
        return len(self.rows)

    def of_rows(self, rows: np.ndarray) -> "HumanLabels":
        """Those among `rows`, in manifest order."""
        mine = np.isin(self.rows, rows)
        votes = None if self.votes is None else self.votes[mine]
        return HumanLabels(self.rows[mine], self.distributions[mine], votes, self.unmatched)


def read_human_labels(
    path: Path,
    manifest: Manifest,
    *,
    key: str | None = None,
    column: str | None = None,
    split: str | None = None,
) -> HumanLabels:
    """Read and join a file of human labels.

    Args:
        path: the Parquet file.
        manifest: of the data set.
        key: column that both the file and the manifest have, unique in each; else `path` or `id`.
        column: the list column with a number a class, in the order of the data's classes (or of the
            file's own class names, where Hugging Face metadata of a `label` column gives them);
            else one of `COLUMNS`, or a column a class, named like the class.
        split: join only with images of this split, for keys that are unique within a split only.

    Raises:
        DataError: when the file is unreadable, a column is missing, a line is no distribution, a
            key is not unique, or nothing matches.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).split("\n")[0]
        raise DataError(f"{path}: no readable Parquet file of human labels ({reason})") from error
    key = _key(table, manifest, key, path)
    numbers = _numbers(table, manifest.classes, column, path)
    distributions, votes = _normalized(numbers, path)
    candidates = np.arange(len(manifest)) if split is None else manifest.rows(split)
    lines, rows = _joined(table, manifest, key, candidates, path)
    order = np.argsort(rows)
    lines, rows = lines[order], rows[order]
    return HumanLabels(
        rows=rows,
        distributions=distributions[lines],
        votes=None if votes is None else votes[lines],
        unmatched=table.num_rows - len(rows),
    )


def _key(table: pa.Table, manifest: Manifest, wanted: str | None, path: Path) -> str:
    known = [n for n in table.column_names if n in manifest.table.column_names]
    if wanted is None:
        found = [name for name in KEYS if name in known]
        if found:
            return found[0]
        raise DataError(
            f"{path}: no column '{KEYS[0]}' or '{KEYS[1]}' to find images by; name the key column. "
            f"Columns that the data has too: {known or 'none'}; the file has {table.column_names}"
        )
    for names, where in ((table.column_names, path), (manifest.table.column_names, "the data")):
        if wanted not in names:
            raise DataError(
                f"{where}: no key column '{wanted}' (has {names}){did_you_mean(wanted, names)}"
            )
    return wanted


def _numbers(
    table: pa.Table, classes: tuple[str, ...], wanted: str | None, path: Path
) -> np.ndarray:
    """A number a line and class, (lines, K) float64, in the order of `classes`."""
    names = table.column_names
    if wanted is not None and wanted not in names:
        raise DataError(f"{path}: no column '{wanted}' (has {names}){did_you_mean(wanted, names)}")
    lists = [name for name in ([wanted] if wanted else COLUMNS) if name in names]
    if not lists:
        missing = [each for each in classes if each not in names]
        if missing:
            raise DataError(
                f"{path}: no list column {' or '.join(COLUMNS)}, and no column for the class "
                f"'{missing[0]}'; name the column with a number a class (has {names})"
            )
        return np.stack([_flat(table.column(each), path, each) for each in classes], axis=1)
    column = table.column(lists[0])
    if not pa.types.is_list(column.type) and not pa.types.is_fixed_size_list(column.type):
        raise DataError(f"{path}: column '{lists[0]}' is {column.type}, not a list of numbers")
    _refuse_empty(column, path, lists[0])
    lengths = set(pc.call_function("list_value_length", [column]).to_pylist())
    if lengths - {len(classes)}:
        odd = next(iter(lengths - {len(classes)}))
        raise DataError(
            f"{path}: column '{lists[0]}' has lines of {odd} numbers, but the data has "
            f"{len(classes)} classes"
        )
    values = _flat(column.combine_chunks().flatten(), path, lists[0]).reshape(-1, len(classes))
    return values[:, _order(table, classes, path)]


def _flat(values: pa.ChunkedArray | pa.Array, path: Path, name: str) -> np.ndarray:
    _refuse_empty(values, path, name)
    try:
        return np.asarray(values.cast(pa.float64()), np.float64)
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"{path}: column '{name}' holds no numbers ({error})") from error


def _refuse_empty(values: pa.ChunkedArray | pa.Array, path: Path, name: str) -> None:
    if values.null_count:
        raise DataError(f"{path}: column '{name}' has empty values; leave such lines out")


def _order(table: pa.Table, classes: tuple[str, ...], path: Path) -> list[int]:
    """Place of each class in the file's lists, by its own class names where it has some."""
    try:
        features = json.loads((table.schema.metadata or {})[b"huggingface"])["info"]["features"]
        own: Sequence[str] = features["label"]["names"]
    except (KeyError, TypeError, ValueError):
        return list(range(len(classes)))
    if set(own) != set(classes):
        only = sorted(set(own) ^ set(classes))
        raise DataError(
            f"{path}: its classes are not those of the data; only one of them has {only[:5]}"
        )
    return [own.index(name) for name in classes]


def _normalized(numbers: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows that sum to one, and the votes of each row where the numbers are votes."""
    sums = numbers.sum(axis=1)
    bad = np.flatnonzero(
        ~(np.isfinite(numbers).all(axis=1) & (numbers >= 0).all(axis=1) & (sums > 0))
    )
    if len(bad):
        raise DataError(
            f"{path}: {len(bad)} lines are no votes or probabilities (all zero, negative or not "
            f"finite), first line {bad[0]}; leave them out"
        )
    are_votes = sums.max(initial=0) > 1 and bool((numbers == np.round(numbers)).all())
    votes = sums if are_votes else None
    if votes is None and len(bad := np.flatnonzero(np.abs(sums - 1) > 1e-3)):
        raise DataError(
            f"{path}: line {bad[0]} sums to {sums[bad[0]]:.4g}; write whole votes, or shares "
            "that sum to one"
        )
    return numbers / sums[:, None], votes


def _joined(
    table: pa.Table, manifest: Manifest, key: str, candidates: np.ndarray, path: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Lines of the file and the manifest rows they belong to, in pairs."""
    theirs = table.column(key).to_numpy()
    ours = manifest.column(key)[candidates]
    for values, where in ((theirs, str(path)), (ours, "the data set")):
        if len(set(values.tolist())) < len(values):
            raise DataError(
                f"{where}: the key '{key}' is not unique; name another key, or one split in which "
                "it is"
            )
    place = {value: i for i, value in enumerate(ours.tolist())}
    found = [(line, place[v]) for line, v in enumerate(theirs.tolist()) if v in place]
    if not found:
        have = ", ".join(repr(v[0]) for v in (theirs, ours) if len(v))
        raise DataError(
            f"{path}: no line belongs to an image of the data by '{key}' (first keys of both: "
            f"{have}); name another key column"
        )
    lines, places = np.array(found, np.int64).T
    return lines, candidates[places]
