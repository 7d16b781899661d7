"""Columns that are held against the label: computed properties, and what the manifest knows."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tinyrefinery.audit.association import Column
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.manifest import REQUIRED

WORDS = (2, 50)  # different values of a column that is held against the label value by value
_LABELLING = 5  # our choice: with so many classes, whole numbers below it are no accident


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
    """What the manifest knows of some rows, beside the required columns.

    Numbers with more than 50 different values are numbers; anything with 2 to 50 is words.

    Args:
        dataset: with its manifest.
        rows: (N,).
        taken: names in use already; a column of such a name is called `manifest.NAME`.

    Returns:
        The columns, and for those that can't be used the reason by name.
    """
    table = dataset.manifest.table.take(pa.array(rows, pa.int64()))
    labels = dataset.manifest.labels[rows]
    found, passed_over = [], {}
    for name in table.column_names:
        if name in REQUIRED:
            continue
        column, reason = _usable(table.column(name))
        if column is not None and _is_labelling(column, dataset.classes):
            column, reason = None, "is a labelling itself"
        if column is not None and len(dataset.classes) > 2 and _renames(column, labels):
            column, reason = None, "says the same as the label, one value a class"
        if column is None:
            passed_over[name] = reason
        else:
            found.append(Column(f"manifest.{name}" if name in taken else name, column))
    return found, passed_over


def _usable(column: pa.ChunkedArray) -> tuple[np.ndarray | None, str]:
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_null(kind):
        return None, f"holds {kind}"
    different = len(column.drop_null().unique())
    if different + (column.null_count > 0) < WORDS[0]:
        return None, "has one value only"
    number = pa.types.is_floating(kind) or pa.types.is_integer(kind)
    if pa.types.is_integer(kind) and different > max(WORDS[1], len(column) / 2):
        return None, "numbers the images"
    if different > WORDS[1]:
        return (_values(column), "") if number else (None, f"has {different} different values")
    return np.array(["" if v is None else str(v) for v in column.to_pylist()]), ""


def _values(column: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.array(["" if value is None else str(value) for value in column.to_pylist()])


def _is_labelling(values: np.ndarray, classes: Sequence[str]) -> bool:
    """Whether the values are class names, or class numbers of a data set with many classes."""
    if values.dtype.kind == "f":
        return False
    words = {word for word in np.unique(values).tolist() if word}
    numbers = {str(number) for number in range(len(classes))}
    return words <= set(classes) or (len(classes) >= _LABELLING and words <= numbers)


def _renames(values: np.ndarray, labels: np.ndarray) -> bool:
    """Whether each value stands with one class and each class with one value."""
    if values.dtype.kind == "f":
        return False
    pairs = {*zip(values.tolist(), labels.tolist(), strict=True)}
    return len(pairs) == len({v for v, _ in pairs}) == len({label for _, label in pairs})
