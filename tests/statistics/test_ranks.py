"""Ranks, compared with SciPy's."""

import numpy as np
import pytest
from scipy.stats import rankdata

from tinyrefinery.statistics.ranks import midranks


@pytest.mark.parametrize("distinct", [1, 2, 7, 1000])
def test_midranks_are_scipys(distinct):
    values = np.random.default_rng(distinct).integers(0, distinct, 500) / 7
    np.testing.assert_array_equal(midranks(values), rankdata(values))


def test_no_values_have_no_ranks():
    assert midranks(np.empty(0)).shape == (0,)
