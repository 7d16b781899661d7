"""The rule that chooses what a report shows."""

import numpy as np
import pytest

from tinyrefinery.runs.lineage import longest_line
from tinyrefinery.runs.top_changes import most_changed, top_change


def test_change_by_hand():
    first = [0.5, 0.3, 0.1, 0.06, 0.04]  # kept: 0, 1, 2; others .1
    last = [0.05, 0.3, 0.2, 0.4, 0.05]  # kept: 3, 1, 2; others .1
    between = [0.2] * 5
    found = top_change(np.array([[first], [between], [last]]))
    np.testing.assert_allclose(found, [(0.5 + 0 + 0.1 + 0.4 + 0) / 2])


def test_few_classes_are_compared_whole():
    random = np.random.default_rng(0)
    said = random.dirichlet(np.ones(3), (2, 20))
    np.testing.assert_allclose(top_change(said), np.abs(said[0] - said[1]).sum(1) / 2)


def test_the_largest_first_and_ties_by_row():
    still, half, turned = [[1, 0], [1, 0]], [[1, 0], [0.5, 0.5]], [[1, 0], [0, 1]]
    said = np.array([half, turned, still, turned, half]).transpose(1, 0, 2)
    rows = np.array([9, 8, 7, 2, 1])
    assert most_changed(said, rows, 5).tolist() == [3, 1, 4, 0, 2]
    assert most_changed(said, rows).tolist() == [3]
    with pytest.raises(ValueError, match="two generations"):
        top_change(said[:1])


def test_the_longest_line():
    assert longest_line({}) == ()
    assert longest_line({"plain": ()}) == ("plain",)
    demo = {"plain": (), "refiner": (), "refined": ("refiner",), "self": ("plain",)}
    assert longest_line(demo) == ("refiner", "refined")
    chain = {"a": (), "b": ("a", "file:x"), "big": (), "c": ("big", "b"), "d": ("big",)}
    assert longest_line(chain) == ("a", "b", "c")
