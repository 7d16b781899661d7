"""evaluation.json: complete, finite, and equal to scikit-learn's numbers."""

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss

from tinyrefinery.evaluation.predictions import Predictions
from tinyrefinery.evaluation.summary import evaluate


def made(n: int, seed: int) -> Predictions:
    random = np.random.default_rng(seed)
    return Predictions(
        ids=np.array([str(i) for i in range(n)], dtype=object),
        rows=np.arange(n),
        labels=random.integers(0, 7, n),  # category 7 is empty
        probabilities=random.dirichlet(np.full(8, 0.4), n).astype(np.float32),
        classes=tuple("abcdefgh"),
    )


def test_everything_is_there():
    splits = {"train": made(300, 0), "validation": made(100, 1), "test": made(90, 2)}
    result = evaluate(splits, label_quality={"kl": 0.5}, cost={"parameters": 10})
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    for split, each in splits.items():
        accuracy = accuracy_score(each.labels, each.probabilities.argmax(axis=1))
        exact = each.probabilities / each.probabilities.sum(axis=1, keepdims=True, dtype=float)
        nll = log_loss(each.labels, exact, labels=range(8))
        assert result[split]["n"] == len(each)
        assert result[split]["top1"] == pytest.approx(accuracy)
        assert result[split]["nll"] == pytest.approx(nll, abs=1e-5)
        low, high = result[split]["top1_interval"]
        assert 0 <= low < accuracy < high <= 1
    assert result["gap"] == pytest.approx(result["train"]["top1"] - result["validation"]["top1"])
    assert [row["category"] for row in result["per_category"]] == list("abcdefgh")
    assert result["per_category"][7]["validation_top1"] is None
    assert result["label_quality"] == {"kl": 0.5}
    assert result["cost"] == {"parameters": 10}


def test_missing_and_empty_splits():
    result = evaluate({"validation": made(50, 0), "test": made(0, 1)})
    assert result["gap"] is None
    assert result["per_category"] == []
    assert "test" not in result
    assert result["label_quality"] == {}
    assert result["validation"]["n"] == 50
