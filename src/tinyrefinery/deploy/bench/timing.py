"""Timing by turns: what is compared is run in turn, and each pass timed by two clocks.

The clock on the wall is what a user waits; the CPU clock of the process leaves out the time in
which others had the core. Turns spread a neighbour who comes or goes over all that is compared.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Pass = Callable[[], Any]
"""One forward pass."""
BURST = 5
"""Timed passes in a turn, after one that is not: so caches are warm, as where one network runs."""
BUSY = 1.2
"""Above this many times the CPU time, the wall clock was others' too."""


@dataclass(frozen=True)
class Clocks:
    """Where time is read, in nanoseconds."""

    wall: Callable[[], int] = time.perf_counter_ns
    cpu: Callable[[], int] = time.process_time_ns


@dataclass(frozen=True, eq=False)
class Timed:
    """The times of one thing, in milliseconds."""

    wall: np.ndarray
    """(turns, burst), of each pass."""
    cpu: np.ndarray
    """(turns,), a pass in the mean of a turn: the CPU's clock is too coarse for a single one."""


def by_turns(
    passes: Sequence[Pass],
    turns: int,
    *,
    burst: int = BURST,
    warm_up: tuple[int, float] = (10, 0.2),
    clocks: Clocks | None = None,
    after_turn: Callable[[], object] = lambda: None,
) -> list[Timed]:
    """The times of each of `passes`, which take turns; another one begins each time.

    Args:
        passes: what is compared.
        turns: of each, at least one.
        burst: timed passes in a turn.
        warm_up: least passes and least seconds of each before the first turn.
        clocks: for tests; the machine's.
        after_turn: called when all have had a turn, e.g. to move a progress bar.
    """
    clocks = clocks or Clocks()
    for each in passes:
        _warm_up(each, *warm_up, clocks)
    wall = np.zeros((len(passes), turns, burst))
    cpu = np.zeros((len(passes), turns))
    for turn in range(turns):
        for place in range(len(passes)):
            number = (place + turn) % len(passes)
            wall[number, turn], cpu[number, turn] = _turn(passes[number], burst, clocks)
        after_turn()
    return [Timed(w, c) for w, c in zip(wall, cpu, strict=True)]


def _warm_up(run: Pass, least: int, seconds: float, clocks: Clocks) -> None:
    began, done = clocks.wall(), 0
    while done < least or clocks.wall() - began < seconds * 1e9:
        run()
        done += 1


def _turn(run: Pass, burst: int, clocks: Clocks) -> tuple[list[float], float]:
    """Milliseconds of each pass on the wall, and a pass on the CPU."""
    run()
    times, began = [], clocks.cpu()
    for _ in range(burst):
        start = clocks.wall()
        run()
        times.append((clocks.wall() - start) / 1e6)
    return times, (clocks.cpu() - began) / 1e6 / burst


def summary(timed: Timed) -> dict[str, float | int]:
    """`n`, `median`, `min`, `p10`, `p90`, `p99` of the wall clock, `cpu` of the CPU's, in ms."""
    low, middle, high, most = np.percentile(timed.wall, [10, 50, 90, 99])
    return {
        "n": int(timed.wall.size),
        "median": float(middle),
        "min": float(timed.wall.min()),
        "p10": float(low),
        "p90": float(high),
        "p99": float(most),
        "cpu": float(np.median(timed.cpu)),
    }


def ratio(timed: Timed, to: Timed) -> float:
    """CPU time over that of `to`: the median over turns, in each of which both had theirs."""
    return float(np.median(timed.cpu / to.cpu))


def is_busy(timed: Sequence[Timed]) -> bool:
    """Whether others had the cores too: the wall's times exceed all that the CPUs took.

    With several threads less is seen, as these take more CPU time than time on the wall.
    """
    shares = [np.median(each.wall) / np.median(each.cpu) for each in timed]
    return bool(shares) and float(np.median(shares)) > BUSY
