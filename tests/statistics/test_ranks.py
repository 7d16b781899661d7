"""Ranks, against SciPy."""

import numpy as np
import pytest
from scipy.stats import rankdata

from tinyrefinery.statistics.ranks import average_ranks


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=50),
        np.random.default_rng(1).integers(0, 5, 40),
        np.array([0.0, -0.0, np.inf, -np.inf, 1e-300]),
        np.array([True, False, True]),
        np.array([]),
        np.array([3.0]),
    ],
)
def test_ranks_are_those_of_scipy(values):
    found = average_ranks(values)
    assert found.dtype == np.float64
    assert found.tolist() == rankdata(values).tolist()
