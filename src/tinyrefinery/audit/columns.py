"""Columns that are searched for shortcuts: computed properties and manifest columns."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tinyrefinery.audit.association import Column
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.manifest import REQUIRED

WORDS = (2, 50)  # distinct values of a column of words, each of which is a possible cue
_LABELING = 5  # our choice: with this many classes, values 0 to K-1 are class numbers


def property_columns(properties: pa.Table) -> list[Column]:
    """The columns of `image_properties`."""
    return [
        Column(name, _values(properties.column(name)))
        for name in properties.column_names
        if name != "id"
    ]


def metadata_columns(
    dataset: Dataset, rows: np.ndarray, taken: Sequence[str] = ()
) -> tuple[list[Column], dict[str, str]]:
    """The manifest's columns for some rows, without the required ones.

    A numeric column with more than 50 distinct values holds numbers. Any column with 2 to 50
    distinct values holds words.

    Args:
        dataset: the dataset.
        rows: (N,) manifest rows.
        taken: names already in use. A column with such a name becomes `manifest.NAME`.

    Returns:
        The columns, and the reason for each column that is skipped, by name.
    """
    table = dataset.manifest.table.take(pa.array(rows, pa.int64()))
    labels = dataset.manifest.labels[rows]
    columns, skipped = [], {}
    for name in table.column_names:
        if name in REQUIRED:
            continue
        values, reason = _usable_values(table.column(name))
        if values is not None and _is_labeling(values, dataset.classes):
            values, reason = None, "is another labeling"
        if values is not None and len(dataset.classes) > 2 and _renames_label(values, labels):
            values, reason = None, "duplicates the label, with one value per class"
        if values is None:
            skipped[name] = reason
        else:
            columns.append(Column(f"manifest.{name}" if name in taken else name, values))
    return columns, skipped


def _usable_values(column: pa.ChunkedArray) -> tuple[np.ndarray | None, str]:
    """The values, or None and the reason."""
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_null(kind):
        return None, f"holds {kind}"
    distinct = len(column.drop_null().unique())
    if distinct + (column.null_count > 0) < WORDS[0]:
        return None, "has only one value"
    number = pa.types.is_floating(kind) or pa.types.is_integer(kind)
    if pa.types.is_integer(kind) and distinct > max(WORDS[1], len(column) / 2):
        return None, "numbers the images"
    if distinct > WORDS[1]:
        return (_values(column), "") if number else (None, f"has {distinct} distinct values")
    return np.array(["" if v is None else str(v) for v in column.to_pylist()]), ""


def _values(column: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.array(["" if value is None else str(value) for value in column.to_pylist()])


def _is_labeling(values: np.ndarray, classes: Sequence[str]) -> bool:
    """Whether the values are class names, or class numbers of a dataset with many classes."""
    if values.dtype.kind == "f":
        return False
    words = {word for word in np.unique(values).tolist() if word}
    numbers = {str(number) for number in range(len(classes))}
    return words <= set(classes) or (len(classes) >= _LABELING and words <= numbers)


def _renames_label(values: np.ndarray, labels: np.ndarray) -> bool:
    """Whether each value occurs with one class only, and each class with one value only."""
    if values.dtype.kind == "f":
        return False
    pairs = {*zip(values.tolist(), labels.tolist(), strict=True)}
    return len(pairs) == len({v for v, _ in pairs}) == len({label for _, label in pairs})
