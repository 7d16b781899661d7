"""Calibration against scikit-learn and a bin-by-bin reading of the definition."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from tinyrefinery.evaluation.calibration import (
    brier_score,
    expected_calibration_error,
    negative_log_likelihood,
)


@pytest.fixture
def sample() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    return random.dirichlet(np.full(7, 0.5), 400), random.integers(0, 7, 400)


def test_nll_is_scikit_learns(sample):
    probabilities, labels = sample
    reference = log_loss(labels, probabilities, labels=range(7))
    assert negative_log_likelihood(probabilities, labels) == pytest.approx(reference, abs=1e-10)


def test_nll_of_a_zero_stays_finite():
    sure_and_wrong = np.array([[1.0, 0.0]], np.float32)
    assert negative_log_likelihood(sure_and_wrong, np.array([1])) == pytest.approx(87.34, abs=0.01)


def test_brier_is_scikit_learns(sample):
    probabilities, labels = sample
    reference = brier_score_loss(labels, probabilities, labels=range(7), scale_by_half=False)
    assert brier_score(probabilities, labels) == pytest.approx(reference, abs=1e-10)


def slow_ece(probabilities, labels, bins):
    """Guo et al. 2017, equation 3, read literally."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    total = 0.0
    for m in range(bins):
        inside = (confidence > m / bins) & (confidence <= (m + 1) / bins)
        if inside.any():
            total += inside.sum() * abs(right[inside].mean() - confidence[inside].mean())
    return total / len(labels)


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_ece_is_its_definition(sample, bins):
    assert expected_calibration_error(*sample, bins) == pytest.approx(slow_ece(*sample, bins))


def test_ece_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.0, 1.0]])
    labels = np.array([0, 1, 0, 1])  # bin of .9: half right; bin of .6: right; bin of 1: right
    assert expected_calibration_error(probabilities, labels) == pytest.approx((0.8 + 0.4 + 0) / 4)
