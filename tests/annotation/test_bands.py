import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from tinyrefinery.annotation.bands import choose_threshold, choose_thresholds, into_bands


def chosen(p, right, precision=0.9, least=20):
    return choose_threshold("x", np.array(p), np.array(right), precision=precision, least=least)


def test_the_bound_keeps_the_interval():
    random = np.random.default_rng(0)
    p = random.uniform(0.4, 1, 2000)
    right = random.random(2000) < p
    found = chosen(p, right)
    assert found.bound is not None
    above = p >= found.bound
    assert (found.n, found.hits) == (above.sum(), right[above].sum())
    low, high = proportion_confint(found.hits, found.n, method="wilson")
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.low >= 0.9
    assert 0.7 < found.bound < 0.95


def test_all_equal_probabilities_stand_or_fall_together():
    found = chosen([0.9] * 300 + [0.5] * 10, [True] * 300 + [False] * 10, 0.95)
    assert (found.bound, found.n, found.hits) == (0.9, 300, 300)
    mixed = chosen([1.0] * 400, [True, False] * 200)
    assert mixed.bound is None
    assert (mixed.n, mixed.hits) == (400, 200)


def test_too_few_audited_images_are_no_proof():
    assert chosen([0.99] * 19, [True] * 19).bound is None
    assert chosen([0.99] * 20, [True] * 20).bound is None  # 20 of 20 show .84
    assert chosen([0.99] * 35, [True] * 35).bound == 0.99  # 35 of 35 show .901
    assert chosen([], []).bound is None


def test_each_class_has_its_own():
    random = np.random.default_rng(1)
    labels = random.integers(0, 3, 3000)
    called = np.where((labels == 2) & (random.random(3000) < 0.4), 1, labels)
    p = np.full((3000, 3), 0.05)
    p[np.arange(3000), called] = 0.9
    found = choose_thresholds(p, labels, "abc", precision=0.95, least=50)
    assert [each.category for each in found] == ["a", "b", "c"]
    assert found[0].bound == pytest.approx(0.9)
    assert found[1].bound is None  # a third of what is called b is c
    assert found[2].bound == pytest.approx(0.9)
    bands = into_bands(np.array([[0.95, 0, 0], [0, 0.99, 0], [0.1, 0.1, 0.15]]), found, 0.2)
    assert bands.band.tolist() == ["accept", "review", "reject"]


@pytest.mark.parametrize("n", [300, 1000, 4000])
def test_how_often_the_choice_is_too_lucky(n):
    """Of 300 classes whose precision rises with probability, few get a bound that breaks it."""
    random, broken = np.random.default_rng(n), 0
    for _ in range(300):
        p = random.uniform(0.6, 1, n)
        right = random.random(n) < p
        found = chosen(p, right, precision=0.95, least=50)
        if found.bound is not None:
            broken += (1 + found.bound) / 2 < 0.95  # the true precision above the bound
    assert broken <= 0.08 * 300
