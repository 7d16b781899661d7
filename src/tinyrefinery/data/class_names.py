"""Class names and class numbers from a source's labels."""

import numpy as np
import pyarrow as pa

from tinyrefinery.data.arrow import pc
from tinyrefinery.errors import DataError


def number_labels(
    values: pa.ChunkedArray, names: list[str] | None, where: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Convert labels to indices into class names: (N,) int64, and the names.

    Integers are indices into `names`. Without names, each different integer is a class, in
    numerical order. Texts are classes in alphabetical order, as torchvision's class folders. Nulls,
    NaN and negative integers are missing labels: -1.

    Args:
        values: (N,) integers, booleans, texts, or whole numbers in floating point.
        names: class names of the source, if it has any.
        where: file and column, for the message.

    Raises:
        DataError: if the values have another type, or an integer has no name.
    """
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_string_view(values.type):
        values = values.cast(pa.string())
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return _number_texts(values, names, where)
    try:
        if pa.types.is_floating(values.type):
            values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
        numbers = pc.fill_null(values.cast(pa.int64()), -1).to_numpy()
    except pa.ArrowException as error:
        raise DataError(
            f"{where}: labels must be whole numbers or texts, not {values.type}"
        ) from error
    if names is not None:
        if len(numbers) and numbers.max() >= len(names):
            raise DataError(
                f"{where}: label {numbers.max()} has no name; there are {len(names)} class names"
            )
        return np.maximum(numbers, -1), tuple(names)
    classes = np.unique(numbers[numbers >= 0])
    labels = np.where(numbers < 0, -1, np.searchsorted(classes, numbers))
    return labels.astype(np.int64), tuple(str(value) for value in classes)


def _number_texts(
    values: pa.ChunkedArray, names: list[str] | None, where: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    classes = names or sorted({text for text in values.unique().to_pylist() if text})
    numbers = {text: number for number, text in enumerate(classes)} | {None: -1, "": -1}
    if unknown := [text for text in values.unique().to_pylist() if text not in numbers]:
        raise DataError(f"{where}: label {unknown[0]!r} is not one of the classes {classes}")
    return np.array([numbers[text] for text in values.to_pylist()], np.int64), tuple(classes)
