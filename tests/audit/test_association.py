"""The statistic against other libraries, and its error rate under chance."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency, mannwhitneyu
from sklearn.metrics import roc_auc_score

from tinyrefinery.audit.association import Column, associate, cramers_v


def rank_of(found, column=0):
    return next(i for i, s in enumerate(found.scores) if s.kind == "rank" and s.column == column)


@pytest.mark.parametrize("ties", [False, True])
def test_auc_and_z_are_those_of_other_libraries(ties):
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 400, p=[0.7, 0.25, 0.05])
    values = rng.normal(0, 1, 400) + 0.4 * labels
    values = np.round(values) if ties else values
    found = associate([Column("x", values)], labels, 3, shuffles=5)
    at = rank_of(found)
    for label in range(3):
        mine = labels == label
        assert found.auc(at)[label] == pytest.approx(roc_auc_score(mine, values))
        test = mannwhitneyu(values[mine], values[~mine], method="asymptotic", use_continuity=False)
        n, m = mine.sum(), (~mine).sum()
        # SciPy's U has the variance n m (N + 1) / 12, less for ties: our formula of sampling
        # without replacement is the same number.
        _, counts = np.unique(values, return_counts=True)
        total = n + m
        variance = n * m / 12 * (total + 1 - (counts**3 - counts).sum() / total / (total - 1))
        expected = (test.statistic - n * m / 2) / np.sqrt(variance)
        assert found.z[at, label] == pytest.approx(expected)


def test_unknown_values_take_no_side():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 300)
    values = rng.normal(0, 1, 300)
    values[labels == 1] += 1
    plain = associate([Column("x", values)], labels, 2, shuffles=5)
    values[:60] = np.nan
    holes = associate([Column("x", values)], labels, 2, shuffles=5)
    kinds = {score.kind for score in holes.scores}
    assert kinds == {"missing", "rank", "low", "high"}
    here, there = holes.auc(rank_of(holes))[1], plain.auc(rank_of(plain))[1]
    assert 0.5 < here < there


def test_values_that_are_all_alike_say_nothing():
    columns = [Column("same", np.ones(50)), Column("none", np.full(50, np.nan))]
    columns.append(Column("word", np.array(["a"] * 50)))
    found = associate(columns, np.arange(50) % 2, 2, shuffles=5)
    assert found.scores == ()
    assert found.floor == np.inf


def test_a_flag_of_two_values_has_both_tails():
    labels = np.repeat([0, 1], 100)
    found = associate([Column("alpha", labels.astype(float))], labels, 2, shuffles=20)
    sizes = {(s.kind, s.value): len(s.members) for s in found.scores if s.kind != "rank"}
    assert sizes == {("low", 0.0): 100, ("high", 1.0): 100}
    assert found.auc(rank_of(found))[1] == 1


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.95, 0.05], [0.1] * 10])
def test_chance_alone_seldom_passes_the_floor(shares):
    """40 data sets without any association, 6 columns: about 2 pass; 8 or more one in 2,000."""
    passed = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        labels = rng.choice(len(shares), 400, p=shares)
        shared = rng.normal(0, 1, 400)
        columns = [Column(f"x{i}", shared + rng.normal(0, 0.5, 400)) for i in range(5)]
        columns.append(Column("word", rng.choice(["a", "b", "c"], 400)))
        found = associate(columns, labels, len(shares), shuffles=100, seed=seed)
        passed += np.nanmax(np.abs(found.z)) > found.floor
    assert passed < 8


def test_cells_that_are_too_small_are_not_tested():
    labels = np.array([0] * 997 + [1] * 3)
    found = associate([Column("x", np.arange(1000.0))], labels, 2, shuffles=5)
    assert np.isnan(found.z).all()


def test_cramers_v_by_hand_and_against_chi_square():
    values = np.array(["a"] * 30 + ["b"] * 70)
    labels = np.array([0] * 25 + [1] * 5 + [0] * 20 + [1] * 50)
    table = np.array([[25, 5], [20, 50]])
    chi2 = chi2_contingency(table, correction=False).statistic
    phi2 = max(0, chi2 / 100 - 1 / 99)
    assert cramers_v(values, labels) == pytest.approx(np.sqrt(phi2 / (2 - 1 / 99 - 1)))
    assert cramers_v(values, np.arange(100) % 2) < 0.1
    assert cramers_v(np.array(["a"] * 100), labels) == 0
