"""Accuracy against scikit-learn and the Wilson interval against statsmodels' published numbers."""

import numpy as np
import pytest
from scipy.optimize import brentq
from sklearn.metrics import recall_score, top_k_accuracy_score

from tinyrefinery.evaluation.accuracy import label_ranks, per_category, top_k
from tinyrefinery.evaluation.generalization import category_table
from tinyrefinery.statistics.proportions import wilson_interval


@pytest.fixture
def sample() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.dirichlet(np.full(12, 0.3), 500), random.integers(0, 12, 500)


@pytest.mark.parametrize("k", [1, 2, 5, 11])
def test_top_k_is_scikit_learns(sample, k):
    probabilities, labels = sample
    reference = top_k_accuracy_score(labels, probabilities, k=k, labels=range(12))
    assert top_k(probabilities, labels, k) == pytest.approx(reference, abs=1e-12)


def test_more_than_all_classes_are_all_classes(sample):
    assert top_k(*sample, 50) == 1.0


def test_ties_go_to_the_lower_class_number():
    probabilities = np.array([[0.25, 0.25, 0.25, 0.25], [0.1, 0.4, 0.4, 0.1]])
    for own in range(4):
        assert label_ranks(probabilities[:1], np.array([own]))[0] == own
    ranks = label_ranks(np.repeat(probabilities[1:], 4, axis=0), np.arange(4))
    assert ranks.tolist() == [2, 0, 1, 3]
    assert top_k(probabilities, probabilities.argmax(axis=1), 1) == 1.0


def test_ranks_do_not_depend_on_blocks(sample, monkeypatch):
    whole = label_ranks(*sample)
    monkeypatch.setattr("tinyrefinery.evaluation.accuracy._BLOCK", 12 * 7)
    assert np.array_equal(label_ranks(*sample), whole)


def test_no_rows_is_an_error():
    with pytest.raises(ValueError, match="at least one row"):
        top_k(np.empty((0, 3)), np.empty(0, np.int64), 1)


def test_per_category_is_recall(sample):
    probabilities, labels = sample
    labels = np.where(labels == 4, 5, labels)  # category 4 is empty
    predicted = probabilities.argmax(axis=1)
    counts, accuracies = per_category(predicted == labels, labels, 12)
    reference = recall_score(
        labels, predicted, labels=range(12), average=None, zero_division=np.nan
    )
    assert counts.sum() == 500
    assert counts[4] == 0
    np.testing.assert_allclose(accuracies, reference, atol=1e-12)


def test_category_table_has_none_for_no_rows():
    right, labels = np.array([True, False, True]), np.array([0, 0, 1])
    table = category_table(right, labels, right[:1], labels[:1], ("a", "b"))
    columns = ["category", "train_n", "train_top1", "validation_n", "validation_top1"]
    assert [list(row) for row in table] == [columns, columns]
    assert list(table[0].values()) == ["a", 2, 0.5, 1, 1.0]
    assert list(table[1].values()) == ["b", 1, 1.0, 0, None]


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [  # Newcombe 1998, table I, method 3 (score, no continuity correction)
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_is_as_published(hits, n, low, high):
    assert wilson_interval(hits / n, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_inverts_the_score_test():
    share, n, z = 0.8, 60, 1.6448536269514722

    def score(p: float) -> float:
        return (share - p) / np.sqrt(p * (1 - p) / n) - z

    assert wilson_interval(share, n, 0.9)[0] == pytest.approx(brentq(score, 0.3, 0.8), abs=1e-9)
