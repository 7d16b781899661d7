"""The train-test gap, overall and per category (Label Refinery, Figures 4 to 6)."""

from typing import TypedDict

import numpy as np

from tinyrefinery.evaluation.accuracy import per_category


class CategoryRow(TypedDict):
    """Accuracy of one category in training and validation, in [0, 1]; None without rows."""

    category: str
    train_n: int
    train_top1: float | None
    validation_n: int
    validation_top1: float | None


def category_table(
    train_correct: np.ndarray,
    train_labels: np.ndarray,
    validation_correct: np.ndarray,
    validation_labels: np.ndarray,
    classes: tuple[str, ...],
) -> list[CategoryRow]:
    """Accuracy per category in training and in validation, in class order.

    Args:
        train_correct: (N,) bool, correct at top-1.
        train_labels: (N,) class numbers.
        validation_correct: (M,) bool.
        validation_labels: (M,) class numbers.
        classes: K names.
    """
    train_n, train = per_category(train_correct, train_labels, len(classes))
    validation_n, validation = per_category(validation_correct, validation_labels, len(classes))
    return [
        {
            "category": name,
            "train_n": int(train_n[i]),
            "train_top1": _none_if_nan(train[i]),
            "validation_n": int(validation_n[i]),
            "validation_top1": _none_if_nan(validation[i]),
        }
        for i, name in enumerate(classes)
    ]


def _none_if_nan(value: float) -> float | None:
    """JSON has no NaN."""
    return None if np.isnan(value) else float(value)
