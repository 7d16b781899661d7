"""Label quality against scipy, and the numbers that a person can work out."""

import numpy as np
import pytest
from scipy.stats import entropy

from tinyrefinery.evaluation.label_quality import FLOOR, label_kl, label_quality


def sample(classes: int = 6, n: int = 50) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(2)
    return random.dirichlet(np.ones(classes), n), random.dirichlet(np.ones(classes), n)


def test_measures_are_scipys():
    labels, truth = sample()
    mixed = (1 - FLOOR) * labels + FLOOR / 6
    quality = label_quality(labels, truth)
    assert quality["kl"] == pytest.approx(entropy(truth, mixed, axis=1).mean(), abs=1e-12)
    assert quality["entropy"] == pytest.approx(entropy(labels, axis=1).mean(), abs=1e-12)
    assert quality["truth_entropy"] == pytest.approx(entropy(truth, axis=1).mean(), abs=1e-12)
    assert quality["cross_entropy"] == pytest.approx(quality["kl"] + quality["truth_entropy"])
    assert quality["total_variation"] == pytest.approx(np.abs(labels - truth).sum() / 2 / 50)
    assert quality["top1_agreement"] == np.mean(labels.argmax(1) == truth.argmax(1))
    assert quality["n"] == 50
    assert quality["floor"] == FLOOR


def test_wrong_one_hot_costs_log_of_classes_over_floor():
    quality = label_quality(np.eye(100)[[3]], np.eye(100)[[4]])
    assert quality["kl"] == pytest.approx(np.log(100 / FLOOR))
    assert quality["total_variation"] == 1.0
    assert quality["top1_agreement"] == 0.0


def test_truth_is_the_best_label():
    _, truth = sample()
    assert label_quality(truth, truth)["kl"] < 1e-3
    assert label_quality(np.eye(4), np.eye(4))["kl"] == pytest.approx(-np.log(1 - 0.75 * FLOOR))


def test_any_of_the_tied_truths_agrees():
    truth = np.full((3, 10), 0.1)
    quality = label_quality(np.eye(10)[[0, 5, 9]], truth)
    assert quality["top1_agreement"] == 1.0
    assert quality["total_variation"] == pytest.approx(0.9)
    half = np.tile([0.5, 0.5, 0.0], (3, 1))
    assert label_quality(np.full((3, 3), 1 / 3), half[:, ::-1])["top1_agreement"] == 0.0


@pytest.mark.parametrize(
    "labels", [np.full((2, 3), 0.5), np.full((2, 3), np.nan), np.full((3, 3), 1 / 3), np.ones(3)]
)
def test_what_is_no_distribution_is_refused(labels):
    with pytest.raises(ValueError, match=r"distributions|differ|must be"):
        label_quality(labels, np.full((2, 3), 1 / 3))


def test_kl_of_single_crops():
    labels, truth = sample()
    mixed = (1 - FLOOR) * labels + FLOOR / 6
    np.testing.assert_allclose(label_kl(labels, truth), entropy(truth, mixed, axis=1), atol=1e-12)
    assert label_kl(labels, truth).mean() == pytest.approx(label_quality(labels, truth)["kl"])
