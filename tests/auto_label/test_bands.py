import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from tinyrefinery.auto_label.bands import STEPS, choose_threshold, choose_thresholds, into_bands


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
    two_sided = 2 * 0.05 / STEPS
    low = proportion_confint(found.hits, found.n, alpha=two_sided, method="beta")[0]
    assert found.low == pytest.approx(low)
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
    assert chosen([0.99] * 28, [True] * 28).bound is None  # .9 ** 28 is more than .05
    assert chosen([0.99] * 29, [True] * 29).bound == 0.99
    assert chosen([], []).bound is None


def test_few_audited_images_have_one_threshold_and_more_have_several():
    p = [0.99] * 40 + [0.6] * 8
    assert chosen(p, [True] * 48).bound == 0.6
    assert chosen(p, [True] * 40 + [False] * 8).bound is None  # forty would do, if looked at alone
    more = [0.99] * 60 + [0.6] * 20
    assert chosen(more, [True] * 60 + [False] * 20).bound == 0.99


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


@pytest.mark.parametrize("n", [150, 300, 1000, 3000])
@pytest.mark.parametrize("true", [0.95, 0.949])
def test_a_promise_that_no_threshold_keeps_is_seldom_made(n, true):
    """The precision is the same above every threshold: the worst case for a choice among them."""
    random = np.random.default_rng(n)
    made = sum(
        chosen(random.random(n), random.random(n) < true, 0.95, 50).bound is not None
        for _ in range(400)
    )
    assert made <= 0.05 * 400 + 2 * (400 * 0.05 * 0.95) ** 0.5  # two standard deviations


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
    assert broken <= 0.02 * 300
