"""Where a network is wrong, as values for `classes.html.j2`."""

from collections.abc import Sequence
from typing import Any

from tinyrefinery.evaluation.prediction_table import Predictions
from tinyrefinery.reports.class_errors import (
    MOST_CLASSES,
    ErrorPicture,
    class_lines,
    confusion,
    worst_pairs,
)

NO_CLASSES: dict[str, Any] = {"classes": [], "matrix": None, "pairs": [], "errors": [], "k": 0}
"""Without predictions."""


def class_section(predictions: Predictions, errors: Sequence[ErrorPicture]) -> dict[str, Any]:
    """Recall per class, the confusion matrix or the most frequent pairs, and some errors."""
    section = NO_CLASSES | {
        "k": len(predictions.classes),
        "classes": class_lines(predictions),
        "errors": errors,
    }
    if len(predictions.classes) > MOST_CLASSES:
        return section | {"pairs": worst_pairs(predictions)}
    counts = confusion(predictions)
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    matrix = [
        (name, list(zip(line.tolist(), share.tolist(), strict=True)))
        for name, line, share in zip(predictions.classes, counts, shares, strict=True)
    ]
    return section | {"matrix": matrix}
