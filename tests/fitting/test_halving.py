"""Successive halving keeps to its time."""

import pytest

from tinyrefinery.fitting.halving import Round, first_round, next_round


def test_the_first_round_takes_a_third_of_the_time():
    # 20 steps per epoch: 20 epochs are 400 steps. 9 candidates of 1 s per epoch take 180 s.
    assert first_round([1.0] * 9, 600, 20, 300) == Round(9, 22)
    assert first_round([1.0] * 50, 600, 20, 300) == Round(10, 20)


def test_at_least_two_candidates_are_compared_whatever_the_time():
    assert first_round([10.0, 10.0, 10.0], 1, 100, 300) == Round(2, 1)
    assert first_round([10.0], 1, 100, 300) == Round(1, 1)


def test_few_candidates_are_not_trained_longer_than_the_last_round():
    assert first_round([0.1], 10_000, 20, 90) == Round(1, 10)


def test_a_third_goes_on_for_as_long_as_the_time_allows():
    before = Round(9, 10)
    assert next_round(before, 1, [1.0] * 9, 400, 300) == Round(3, 66)
    assert next_round(before, 1, [1.0] * 9, 4000, 300) == Round(3, 100)
    assert next_round(Round(3, 60), 2, [1.0] * 3, 400, 300) == Round(2, 200)


def test_epochs_never_fall():
    assert next_round(Round(9, 10), 1, [1.0] * 9, 1, 300) == Round(3, 10)


@pytest.mark.parametrize("seconds", [10, 300, 5000])
def test_a_round_is_within_its_share_where_it_can_be(seconds):
    speeds = [3.0, 1.0, 2.0, 5.0, 1.5, 0.5, 0.7]
    found = first_round(speeds, seconds, 50, 600)
    taken = found.epochs * sum(speeds[: found.candidates])
    assert taken <= seconds / 3 or found.epochs == 1
