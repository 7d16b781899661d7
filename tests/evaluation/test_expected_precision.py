"""Expected precision of likely label errors, on errors that are planted and so known."""

import csv

import numpy as np
import pytest

from tests.data.scenes import stripes
from tinyrefinery.evaluation.dynamics_table import dynamics_table
from tinyrefinery.evaluation.expected_precision import (
    LEAST,
    count_worth_checking,
    error_probabilities,
)
from tinyrefinery.evaluation.likely_label_errors import (
    expected_precisions,
    find_suspects,
    save_suspects,
    worth_checking,
)


def margins(seed, share, apart, n=4000, threshold=200):
    """Margins of right labels around `apart`, of wrong ones around its negative."""
    random = np.random.default_rng(seed)
    wrong = random.random(n) < share
    aum = random.normal(np.where(wrong, -apart, apart), 1.0)
    return aum, wrong, random.normal(-apart, 1.0, threshold)


@pytest.mark.parametrize(("share", "apart"), [(0.1, 2.0), (0.3, 1.0), (0.3, 2.0)])
def test_the_expected_precision_is_near_the_real_one_and_not_above(share, apart):
    """On average over draws, also where right and wrong labels overlap."""
    differences = []
    for seed in range(10):
        aum, wrong, threshold = margins(seed, share, apart)
        probability = error_probabilities(aum, threshold)
        listed = probability >= 0.5
        assert listed.sum() >= 20
        differences.append(probability[listed].mean() - wrong[listed].mean())
    assert -0.2 < np.mean(differences) < 0.05


def test_without_errors_nothing_is_worth_checking():
    """Not even where a weak network is wrong on a sixth of the images."""
    aum, _, threshold = margins(0, 0.0, 1.0)
    assert (aum < 0).mean() > 0.1
    order = np.argsort(aum)
    probability = error_probabilities(aum, threshold)[order]
    expected = np.cumsum(probability) / np.arange(1, len(order) + 1)
    assert count_worth_checking(expected[aum[order] < 0]) < 0.002 * len(aum)


def test_a_larger_margin_is_never_more_likely_wrong():
    aum, _, threshold = margins(1, 0.1, 1.0)
    probability = error_probabilities(aum, threshold)[np.argsort(aum)]
    assert (np.diff(probability) <= 0).all()
    assert (probability >= 0).all()
    assert (probability <= 1).all()


def test_few_threshold_samples_give_no_estimate():
    aum, _, threshold = margins(0, 0.1, 2.0)
    assert np.isnan(error_probabilities(aum, threshold[: LEAST - 1])).all()
    assert error_probabilities(np.empty(0), threshold).shape == (0,)


def test_the_list_has_the_threshold_beside_it(tmp_path):
    """Threshold samples are not listed, and each row has the expected precision up to it."""
    manifest = stripes().manifest
    n = len(manifest)
    is_threshold = np.arange(n) % 2 == 0
    aum = np.where(is_threshold, -2.0, 2.0) + np.linspace(0, 0.5, n)
    aum[[1, 3]] = -2.0, -1.9
    measures = {"aum": aum, "threshold_sample": is_threshold}
    table = dynamics_table(manifest, np.arange(n), measures)
    assert find_suspects(table).tolist() == [1, 3]
    expected = expected_precisions(table)
    if is_threshold.sum() < LEAST:
        pytest.fail("the scenes are too few for this test")
    assert expected.shape == (2,)
    save_suspects(tmp_path / "suspects.csv", table, manifest)
    with (tmp_path / "suspects.csv").open() as file:
        lines = list(csv.DictReader(file))
    found = [float(line["expected_precision"]) for line in lines]
    assert found == pytest.approx(expected.tolist(), abs=1e-3)
    assert worth_checking(table).startswith("likely label errors: ")
    plain = dynamics_table(manifest, np.arange(n), {"aum": aum})
    assert worth_checking(plain) == ""
    assert np.isnan(expected_precisions(plain)).all()
