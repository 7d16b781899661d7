"""Gains over seeds against scipy.stats."""

import numpy as np
import pytest
from scipy import stats

from tinyrefinery.statistics.paired import paired_gain, spread


def test_interval_is_scipys():
    random = np.random.default_rng(3)
    a = random.normal(0.8, 0.01, 7)
    b = a + random.normal(0.02, 0.005, 7)
    gain = paired_gain(a, b, 0.9)
    reference = stats.ttest_rel(b, a).confidence_interval(0.9)
    assert (gain.low, gain.high) == pytest.approx((reference.low, reference.high), abs=1e-12)
    assert gain.mean == pytest.approx(np.mean(b - a))
    assert gain.n == 7
    assert gain.std == pytest.approx(np.std(b - a, ddof=1))


@pytest.mark.parametrize(
    ("b", "verdict"),
    [
        ([0.52, 0.63, 0.72], "gain"),
        ([0.48, 0.57, 0.68], "loss"),
        ([0.52, 0.57, 0.71], "no gain shown"),
    ],
)
def test_verdicts(b, verdict):
    assert paired_gain([0.5, 0.6, 0.7], b).verdict == verdict


def test_one_seed_shows_nothing():
    gain = paired_gain([0.5], [0.9])
    assert gain.verdict == "one seed"
    assert gain.low is None
    assert gain.std is None


def test_spread():
    assert spread([0.1, 0.3]).std == pytest.approx(np.sqrt(0.02))
    assert spread([0.1]).std is None
    with pytest.raises(ValueError, match="at least one value"):
        spread([])
    with pytest.raises(ValueError, match="equal lengths"):
        paired_gain([0.1], [0.1, 0.2])
