"""Human labels: distributions over the classes per image, joined to a dataset by a key.

They are in a Parquet file with one line per image: a key (such as the image's path), and either one
list column with one number per class, or one column per class. The numbers are votes or
probabilities. CIFAR-10H (Peterson et al., 2019, "Human uncertainty makes classification more
robust") has this form, and you can write your own annotations in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tinyrefinery.data.manifest import Manifest
from tinyrefinery.errors import DataError, did_you_mean
from tinyrefinery.reading.json_text import parse_json

KEYS = ("path", "id")
"""Columns that uniquely identify an image, tried in this order if no key is named."""
COLUMNS = ("human_counts", "counts", "votes", "human_probs", "probabilities")
"""Columns tried in this order if none is named. Votes come first, as they include their number."""


@dataclass(frozen=True)
class HumanLabels:
    """Human labels of M rows of a manifest."""

    rows: np.ndarray = field(repr=False)
    """(M,) int64 manifest rows, ascending."""
    distributions: np.ndarray = field(repr=False)
    """(M, K) float64, rows sum to one."""
    votes: np.ndarray | None = field(repr=False)
    """(M,) float64, votes per image; None if the file has probabilities."""
    unmatched: int
    """Lines of the file that match no image of the dataset, or of the split."""

    def __len__(self) -> int:
        return len(self.rows)

    def of_rows(self, rows: np.ndarray) -> "HumanLabels":
        """The labels of `rows`, in manifest order."""
        kept = np.isin(self.rows, rows)
        votes = None if self.votes is None else self.votes[kept]
        return HumanLabels(self.rows[kept], self.distributions[kept], votes, self.unmatched)


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
        manifest: the dataset's manifest.
        key: column that file and manifest share, unique in each. By default, `path` or `id`.
        column: list column with one number per class, in the order of the data's classes (or of
            the file's class names, if Hugging Face metadata of a `label` column has them). By
            default, one of `COLUMNS`, or one column per class, named like the class.
        split: join only with images of this split, for keys that are unique only within a split.

    Raises:
        DataError: when the file is unreadable, a column is missing, a line is not a distribution,
            a key is not unique, or nothing matches.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).split("\n")[0]
        raise DataError(f"{path}: can't read the human labels as Parquet ({reason})") from error
    key = _key(table, manifest, key, path)
    numbers = _numbers(table, manifest.classes, column, path)
    distributions, votes = _normalized(numbers, path)
    candidates = np.arange(len(manifest)) if split is None else manifest.rows(split)
    lines, rows = _matches(table, manifest, key, candidates, path)
    order = np.argsort(rows)
    lines, rows = lines[order], rows[order]
    return HumanLabels(
        rows=rows,
        distributions=distributions[lines],
        votes=None if votes is None else votes[lines],
        unmatched=table.num_rows - len(rows),
    )


def _key(table: pa.Table, manifest: Manifest, name: str | None, path: Path) -> str:
    """The key column: the named one, or the first of `KEYS`."""
    common = [n for n in table.column_names if n in manifest.table.column_names]
    if name is None:
        keys = [key for key in KEYS if key in common]
        if keys:
            return keys[0]
        raise DataError(
            f"{path}: no column '{KEYS[0]}' or '{KEYS[1]}' identifies the images: name the key "
            f"column. The file has {table.column_names}, and the data also has {common or 'none'}"
        )
    for names, where in ((table.column_names, path), (manifest.table.column_names, "the data")):
        if name not in names:
            raise DataError(
                f"{where}: no key column '{name}' (has {names}){did_you_mean(name, names)}"
            )
    return name


def _numbers(table: pa.Table, classes: tuple[str, ...], name: str | None, path: Path) -> np.ndarray:
    """One number per line and class, (lines, K) float64, in the order of `classes`."""
    names = table.column_names
    if name is not None and name not in names:
        raise DataError(f"{path}: no column '{name}' (has {names}){did_you_mean(name, names)}")
    list_column = next((n for n in ([name] if name else COLUMNS) if n in names), None)
    if list_column is None:
        missing = [label for label in classes if label not in names]
        if missing:
            raise DataError(
                f"{path}: no list column {' or '.join(COLUMNS)}, and no column for the class "
                f"'{missing[0]}': name the column with one number per class (has {names})"
            )
        return np.stack([_floats(table.column(label), path, label) for label in classes], axis=1)
    column = table.column(list_column)
    if not pa.types.is_list(column.type) and not pa.types.is_fixed_size_list(column.type):
        raise DataError(f"{path}: column '{list_column}' is {column.type}, not a list of numbers")
    _refuse_empty(column, path, list_column)
    lengths = set(pc.call_function("list_value_length", [column]).to_pylist())
    if other := lengths - {len(classes)}:
        raise DataError(
            f"{path}: column '{list_column}' has lines of {next(iter(other))} numbers, but the "
            f"data has {len(classes)} classes"
        )
    values = _floats(column.combine_chunks().flatten(), path, list_column)
    return values.reshape(-1, len(classes))[:, _class_order(table, classes, path)]


def _floats(values: pa.ChunkedArray | pa.Array, path: Path, name: str) -> np.ndarray:
    _refuse_empty(values, path, name)
    try:
        return np.asarray(values.cast(pa.float64()), np.float64)
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"{path}: column '{name}' must contain numbers ({error})") from error


def _refuse_empty(values: pa.ChunkedArray | pa.Array, path: Path, name: str) -> None:
    if values.null_count:
        raise DataError(f"{path}: column '{name}' has empty values: delete these lines")


def _class_order(table: pa.Table, classes: tuple[str, ...], path: Path) -> list[int]:
    """Place of each class in the file's lists, by the file's class names if it has some."""
    try:
        facts = parse_json((table.schema.metadata or {})[b"huggingface"], path)
        file_classes: Sequence[str] = facts["info"]["features"]["label"]["names"]
    except (KeyError, TypeError, DataError):
        return list(range(len(classes)))
    if set(file_classes) != set(classes):
        only = sorted(set(file_classes) ^ set(classes))
        raise DataError(
            f"{path}: its classes are not those of the data: only one of the two has {only[:5]}"
        )
    return [file_classes.index(name) for name in classes]


def _normalized(numbers: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows that sum to one, and the votes per row if the numbers are votes."""
    sums = numbers.sum(axis=1)
    bad = np.flatnonzero(
        ~(np.isfinite(numbers).all(axis=1) & (numbers >= 0).all(axis=1) & (sums > 0))
    )
    if len(bad):
        raise DataError(
            f"{path}: {len(bad)} lines are not votes or probabilities (all zero, negative or not "
            f"finite), first line {bad[0]}: delete them"
        )
    are_votes = sums.max(initial=0) > 1 and bool((numbers == np.round(numbers)).all())
    votes = sums if are_votes else None
    if votes is None and len(bad := np.flatnonzero(np.abs(sums - 1) > 1e-3)):
        raise DataError(
            f"{path}: line {bad[0]} sums to {sums[bad[0]]:.4g}: write whole votes, or shares "
            "that sum to one"
        )
    return numbers / sums[:, None], votes


def _matches(
    table: pa.Table, manifest: Manifest, key: str, candidates: np.ndarray, path: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Lines of the file and their manifest rows, in pairs."""
    file_keys = table.column(key).to_numpy()
    data_keys = manifest.column(key)[candidates]
    for values, where in ((file_keys, str(path)), (data_keys, "the dataset")):
        if len(set(values.tolist())) < len(values):
            raise DataError(
                f"{where}: the key '{key}' is not unique: name another key, or a split in which "
                "it is unique"
            )
    place = {value: i for i, value in enumerate(data_keys.tolist())}
    matches = [(line, place[v]) for line, v in enumerate(file_keys.tolist()) if v in place]
    if not matches:
        first = ", ".join(repr(v[0]) for v in (file_keys, data_keys) if len(v))
        raise DataError(
            f"{path}: no line matches an image of the data by '{key}' (first keys of both: "
            f"{first}): name another key column"
        )
    lines, places = np.array(matches, np.int64).T
    return lines, candidates[places]
