"""Timing by turns with clocks that the test moves: no test looks at a real clock."""

import numpy as np
import pytest

from tinyrefinery.device.timing import (
    Clocks,
    Times,
    is_busy,
    ratio,
    summary,
    time_interleaved,
)


class Machine:
    """Work takes wall and CPU time as told; who worked is noted."""

    def __init__(self):
        self.wall = self.cpu = 0.0
        self.order = []
        self.clocks = Clocks(lambda: round(self.wall), lambda: round(self.cpu))

    def work(self, name, milliseconds, waited=0.0):
        def run():
            self.order.append(name)
            self.cpu += milliseconds * 1e6
            self.wall += (milliseconds + waited) * 1e6

        return run


def test_times_are_those_of_the_clocks():
    machine = Machine()
    quick, slow = time_interleaved(
        [machine.work("quick", 2.0, waited=1.0), machine.work("slow", 8.0)],
        4,
        clocks=machine.clocks,
    )
    assert quick.wall.shape == (4, 5)
    np.testing.assert_allclose(quick.wall, 3.0)
    np.testing.assert_allclose(quick.cpu, 2.0)
    np.testing.assert_allclose(slow.wall, 8.0)
    assert ratio(slow, quick) == pytest.approx(4.0)


def test_turns_go_round_and_another_one_begins():
    machine = Machine()
    passes = [machine.work(name, 1.0) for name in "abc"]
    turned = []
    time_interleaved(
        passes,
        3,
        burst=2,
        warm_up=(1, 0.0),
        clocks=machine.clocks,
        after_turn=lambda: turned.append(1),
    )
    assert "".join(machine.order) == "abc" + "aaabbbccc" + "bbbcccaaa" + "cccaaabbb"
    assert len(turned) == 3


def test_warming_up_lasts_as_long_and_as_often_as_told():
    machine = Machine()
    time_interleaved([machine.work("a", 1.0)], 1, burst=1, warm_up=(3, 0.02), clocks=machine.clocks)
    assert len(machine.order) == 20 + 2
    machine = Machine()
    time_interleaved(
        [machine.work("a", 100.0)], 1, burst=1, warm_up=(3, 0.02), clocks=machine.clocks
    )
    assert len(machine.order) == 3 + 2


def test_a_ratio_compares_within_turns():
    """A neighbour who slows a whole turn changes neither ratio."""
    base = Times(np.ones((4, 1)), np.array([1.0, 5.0, 1.0, 1.0]))
    other = Times(np.ones((4, 1)), np.array([2.0, 10.0, 2.0, 2.2]))
    assert ratio(other, base) == pytest.approx(2.0)


def test_summary_is_numpys():
    wall = np.random.default_rng(0).gamma(2, size=(20, 5))
    found = summary(Times(wall, wall.mean(axis=1)))
    assert found["n"] == 100
    assert found["median"] == pytest.approx(np.median(wall))
    assert found["p10"] == pytest.approx(np.quantile(wall, 0.1))
    assert found["p99"] == pytest.approx(np.quantile(wall, 0.99))
    assert found["min"] == wall.min()
    assert found["cpu"] == pytest.approx(np.median(wall.mean(axis=1)))


@pytest.mark.parametrize(("wall", "busy"), [(0.6, False), (1.1, False), (2.0, True)])
def test_a_busy_machine_is_seen(wall, busy):
    """Below 1: two threads take more CPU time than time on the wall."""
    assert is_busy([Times(np.full((3, 5), wall), np.ones(3))]) is busy
