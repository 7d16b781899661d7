"""Disagreement of crops against pairs counted one by one, and scipy's entropies."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import entropy

from tinyrefinery.refiners.crop_disagreement import crop_disagreement, movement, pairs_disagree


def labels(crops=5, images=40, classes=4, seed=0):
    random = np.random.default_rng(seed)
    return random.dirichlet(np.full(classes, 0.5), (crops, images)).astype(np.float32)


def test_measures_are_those_of_pairs_and_of_scipy():
    made = labels()
    found = crop_disagreement(made)
    tops = made.argmax(axis=2)
    pairs = [a != b for image in tops.T for a, b in combinations(image, 2)]
    assert found["pairs_disagree"] == pytest.approx(np.mean(pairs))
    exact = made.astype(np.float64)
    own = entropy(exact, axis=2).mean()
    assert found["entropy"] == pytest.approx(own, abs=1e-6)
    assert found["effective_classes"] == pytest.approx(np.exp(own), abs=1e-6)
    to_mean = [entropy(crop, exact[:, i].mean(axis=0)) for i in range(40) for crop in exact[:, i]]
    assert found["kl_to_mean"] == pytest.approx(np.mean(to_mean), abs=1e-6)
    assert (found["images"], found["crops"]) == (40, 5)


def test_extremes():
    same = np.repeat(np.eye(3)[None, [0, 1]], 4, axis=0)
    assert crop_disagreement(same)["pairs_disagree"] == 0
    assert crop_disagreement(same)["kl_to_mean"] == pytest.approx(0)
    apart = np.eye(4)[:, None]
    assert crop_disagreement(apart)["pairs_disagree"] == 1
    assert crop_disagreement(apart)["kl_to_mean"] == pytest.approx(np.log(4))
    uniform = np.full((2, 3, 7), 1 / 7)
    assert crop_disagreement(uniform)["effective_classes"] == pytest.approx(7)
    np.testing.assert_allclose(pairs_disagree(np.array([[0, 1], [0, 2], [1, 3]])), [2 / 3, 1])


def test_one_crop_has_no_pair():
    with pytest.raises(ValueError, match="two or more crops"):
        crop_disagreement(labels(crops=1))


def test_movement():
    a, b = labels(1)[0].astype(np.float64), labels(1, seed=1)[0].astype(np.float64)
    found = movement(a, b)
    assert found["kl"] == pytest.approx(entropy(a, b, axis=1).mean(), abs=1e-5)
    assert found["total_variation"] == pytest.approx(np.abs(a - b).sum() / 2 / 40)
    assert found["top1_changed"] == np.mean(a.argmax(1) != b.argmax(1))
    assert movement(a, a)["kl"] == 0
    assert np.isfinite(movement(np.eye(3), np.eye(3)[[1, 2, 0]])["kl"])
    with pytest.raises(ValueError, match="same crops"):
        movement(a, b[:5])
