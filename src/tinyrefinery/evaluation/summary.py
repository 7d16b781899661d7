"""The contents of a stage's evaluation.json."""

from collections.abc import Mapping
from typing import Any

from tinyrefinery.evaluation.accuracy import top_k
from tinyrefinery.evaluation.calibration import (
    brier_score,
    expected_calibration_error,
    negative_log_likelihood,
)
from tinyrefinery.evaluation.generalization import category_table
from tinyrefinery.evaluation.predictions import Predictions
from tinyrefinery.statistics.proportions import wilson_interval


def evaluate_split(predictions: Predictions) -> dict[str, Any]:
    """Metrics of one split.

    Returns:
        `n`, `top1` and `top5` (min(5, K)) in [0, 1], `top1_interval` (95 % Wilson, over images),
        `nll` in nats, `brier` in [0, 2], `ece` in [0, 1].

    Raises:
        ValueError: if the split has no rows.
    """
    probabilities, labels = predictions.probabilities, predictions.labels
    top1 = top_k(probabilities, labels, 1)
    return {
        "n": len(predictions),
        "top1": top1,
        "top1_interval": list(wilson_interval(top1, len(predictions))),
        "top5": top_k(probabilities, labels, 5),
        "nll": negative_log_likelihood(probabilities, labels),
        "brier": brier_score(probabilities, labels),
        "ece": expected_calibration_error(probabilities, labels),
    }


def evaluate(
    predictions: Mapping[str, Predictions],
    *,
    label_quality: Mapping[str, float] | None = None,
    cost: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """All contents of evaluation.json, ready for `json.dumps(..., allow_nan=False)`.

    Args:
        predictions: by split; splits without rows are left out of the result.
        label_quality: of the stage's training labels, from `label_quality`.
        cost: of the network: parameters, macs and so on.

    Returns:
        One object per split (`evaluate_split`); `gap` (training - validation top-1, None if either
        split is missing); `per_category` (rows of `category_table`, empty if either is missing);
        `label_quality` and `cost` ({} by default).
    """
    predictions = {split: table for split, table in predictions.items() if len(table)}
    result: dict[str, Any] = {split: evaluate_split(t) for split, t in predictions.items()}
    train, validation = predictions.get("train"), predictions.get("validation")
    result |= {"gap": None, "per_category": []}
    result |= {"label_quality": dict(label_quality or {}), "cost": dict(cost or {})}
    if train is not None and validation is not None:
        result["gap"] = result["train"]["top1"] - result["validation"]["top1"]
        result["per_category"] = category_table(
            train.correct, train.labels, validation.correct, validation.labels, train.classes
        )
    return result
