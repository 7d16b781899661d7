"""Intervals and exact tests against other libraries, published examples and plain formulas."""

from fractions import Fraction
from math import comb
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from tinyrefinery.statistics import proportions as ours

COUNTS = [(0, 1), (1, 1), (0, 35), (35, 35), (58, 61), (81, 263), (15, 148), (1, 10_000)]


@pytest.mark.parametrize(("hits", "n"), COUNTS)
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilson(hits, n, confidence):
    expected = proportion_confint(hits, n, 1 - confidence, "wilson")
    scipys = binomtest(hits, n).proportion_ci(confidence, "wilson")
    assert ours.wilson(hits, n, confidence) == pytest.approx(expected, abs=1e-12)
    assert ours.wilson(hits, n, confidence) == pytest.approx(tuple(scipys), abs=1e-12)


def test_wilson_ends_are_exact():
    assert ours.wilson(0, 2000)[0] == 0
    assert ours.wilson(2000, 2000)[1] == 1


def test_of_nothing_everything_may_be_true():
    assert ours.wilson(0, 0) == (0, 1)
    assert ours.newcombe((0, 1), (0, 5)) == (-1, 1)


# Newcombe (1998), Statistics in Medicine 17, 873-890, Table II, method 10.
PUBLISHED = [
    ((56, 48), (70, 80), (0.0524, 0.3339)),
    ((9, 3), (10, 10), (0.1705, 0.8090)),
    ((6, 2), (7, 7), (0.0582, 0.8062)),
    ((5, 0), (56, 29), (-0.0381, 0.1926)),
    ((0, 0), (10, 20), (-0.1611, 0.2775)),
    ((10, 0), (10, 20), (0.6791, 1.0000)),
    ((10, 0), (10, 10), (0.6075, 1.0000)),
]


@pytest.mark.parametrize(("hits", "n", "published"), PUBLISHED)
def test_newcombe(hits, n, published):
    found = ours.newcombe(hits, n)
    assert found == pytest.approx(published, abs=5.1e-5)
    other = confint_proportions_2indep(
        hits[0], n[0], hits[1], n[1], method="newcomb", compare="diff", alpha=0.05
    )
    assert found == pytest.approx(other, abs=1e-9)


def paired_reference(a, b, c, d, z=1.959963984540054):
    """Newcombe (1998), Statistics in Medicine 17, 2635-2650, method 10, by its formulas."""
    n = a + b + c + d

    def ends(x):
        root = z * np.sqrt(z**2 + 4 * x * (1 - x / n))
        return (2 * x + z**2 - root) / (2 * (n + z**2)), (2 * x + z**2 + root) / (2 * (n + z**2))

    (l1, u1), (l2, u2) = ends(a + b), ends(a + c)
    p1, p2 = (a + b) / n, (a + c) / n
    margins = float((a + b) * (c + d) * (a + c) * (b + d))
    cross = a * d - b * c
    if cross > n / 2:
        cross -= n / 2
    elif cross >= 0:
        cross = 0
    phi = cross / np.sqrt(margins) if margins else 0.0
    below = (p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2
    above = (p2 - l2) ** 2 - 2 * phi * (p2 - l2) * (u1 - p1) + (u1 - p1) ** 2
    return p1 - p2 - np.sqrt(below), p1 - p2 + np.sqrt(above)


cells = st.integers(0, 400)


@given(cells, cells, cells, cells)
def test_newcombe_paired_follows_the_formulas(a, b, c, d):
    if a + b + c + d:
        found = ours.newcombe_paired(a, b, c, d)
        assert found == pytest.approx(paired_reference(a, b, c, d), abs=1e-7)


def test_newcombe_paired_covers_at_about_its_confidence():
    random = np.random.default_rng(0)
    shares, inside = (0.85, 0.06, 0.03, 0.06), 0
    for cell in random.multinomial(200, shares, 2000):
        low, high = ours.newcombe_paired(*map(int, cell))
        inside += low <= shares[1] - shares[2] <= high
    assert 0.935 < inside / 2000 < 0.985  # 0.95 with a standard error of 0.005, and conservative


@given(cells, cells)
def test_mcnemar_is_the_exact_binomial_test(b, c):
    found = ours.mcnemar(b, c)
    assert found == pytest.approx(reference_mcnemar([[0, b], [c, 0]], exact=True).pvalue, rel=1e-9)
    assert found == ours.mcnemar(c, b)


def test_mcnemar_by_counting():
    tail = sum(comb(12, k) for k in range(3))
    assert ours.mcnemar(10, 2) == pytest.approx(float(Fraction(2 * tail, 2**12)))
    assert ours.mcnemar(0, 0) == 1
    assert ours.mcnemar(5, 5) == 1


@given(st.lists(st.floats(0, 1), max_size=30))
def test_holm(p_values):
    with patch("gc.collect"):  # statsmodels calls it each time, a second in a large process
        expected = multipletests(p_values, method="holm")[1] if p_values else []
    assert ours.holm(p_values) == pytest.approx(list(expected))


@pytest.mark.parametrize(("bound", "n"), [(0.90, 35), (0.95, 73), (0.99, 381)])
def test_images_without_an_error_that_prove_a_bound(bound, n):
    """n z²: with no error, Wilson's lower end is n / (n + z²)."""
    z2 = 1.959963984540054**2
    assert n == int(np.ceil(bound * z2 / (1 - bound)))
    assert ours.images_to_prove(1, 1, bound, faultless=True) == n - 1


@given(st.integers(1, 300), st.data(), st.floats(0.5, 0.99), st.booleans())
def test_the_search_finds_the_least_number(n, data, bound, faultless):
    hits = data.draw(st.integers(0, n))
    found = ours.images_to_prove(hits, n, bound, faultless=faultless)

    def low(more):
        more_hits = more if faultless else more * hits / n
        return proportion_confint(hits + more_hits, n + more, 0.05, "wilson")[0]

    if found is None:
        assert low(ours.MOST_IMAGES) < bound
    else:
        assert low(found) >= bound - 1e-12
        assert found == 0 or low(found - 1) < bound


def test_no_number_of_images_proves_what_is_not_so():
    assert ours.images_to_prove(90, 100, 0.9, faultless=False) is None
    assert ours.images_to_prove(80, 100, 0.9, faultless=False) is None
    assert ours.images_to_prove(100, 100, 1.0, faultless=True) is None


def test_distances_within_an_interval():
    assert ours.largest_absolute((-0.3, 0.1)) == 0.3
    assert ours.smallest_absolute((-0.3, 0.1)) == 0
    assert ours.smallest_absolute((0.1, 0.2)) == 0.1
    assert ours.smallest_absolute((-0.4, -0.2)) == 0.2
