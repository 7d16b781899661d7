"""Interleaved timing: the compared networks run in turns, timed by wall clock and CPU clock.

Wall time is what a user waits. CPU time of the process excludes the time in which other processes
had the core. Interleaving spreads changes of the machine's load over all networks.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Pass = Callable[[], Any]
"""One forward pass."""
BURST = 5
"""Timed passes per turn. One untimed pass before them warms the caches."""
BUSY = 1.2
"""Ratio of wall time to CPU time above which the machine counts as busy."""


@dataclass(frozen=True)
class Clocks:
    """Functions that read wall time and CPU time in nanoseconds."""

    wall: Callable[[], int] = time.perf_counter_ns
    cpu: Callable[[], int] = time.process_time_ns


@dataclass(frozen=True, eq=False)
class Times:
    """The times of one network, in milliseconds."""

    wall: np.ndarray
    """(turns, burst), of each pass."""
    cpu: np.ndarray
    """(turns,), mean pass of a turn: the CPU clock is too coarse for a single pass."""


def time_interleaved(
    passes: Sequence[Pass],
    turns: int,
    *,
    burst: int = BURST,
    warm_up: tuple[int, float] = (10, 0.2),
    clocks: Clocks | None = None,
    after_turn: Callable[[], object] = lambda: None,
) -> list[Times]:
    """Time all `passes` in turns. Each round of turns starts with another one.

    Args:
        passes: the forward passes to compare.
        turns: number of rounds, at least one.
        burst: timed passes per turn.
        warm_up: minimum number of passes and minimum seconds before the first round, for each.
        clocks: by default the machine's.
        after_turn: called after each round, e.g. to advance a progress bar.
    """
    clocks = clocks or Clocks()
    for run in passes:
        _warm_up(run, *warm_up, clocks)
    wall = np.zeros((len(passes), turns, burst))
    cpu = np.zeros((len(passes), turns))
    for turn in range(turns):
        for place in range(len(passes)):
            number = (place + turn) % len(passes)
            wall[number, turn], cpu[number, turn] = _turn(passes[number], burst, clocks)
        after_turn()
    return [Times(w, c) for w, c in zip(wall, cpu, strict=True)]


def _warm_up(run: Pass, passes: int, seconds: float, clocks: Clocks) -> None:
    start, done = clocks.wall(), 0
    while done < passes or clocks.wall() - start < seconds * 1e9:
        run()
        done += 1


def _turn(run: Pass, burst: int, clocks: Clocks) -> tuple[list[float], float]:
    """Wall time of each pass and mean CPU time per pass, in milliseconds."""
    run()
    times, cpu_start = [], clocks.cpu()
    for _ in range(burst):
        start = clocks.wall()
        run()
        times.append((clocks.wall() - start) / 1e6)
    return times, (clocks.cpu() - cpu_start) / 1e6 / burst


def summary(timed: Times) -> dict[str, float | int]:
    """`n`, `median`, `min`, `p10`, `p90`, `p99` of wall time and median `cpu` time, in ms."""
    p10, median, p90, p99 = np.percentile(timed.wall, [10, 50, 90, 99])
    return {
        "n": int(timed.wall.size),
        "median": float(median),
        "min": float(timed.wall.min()),
        "p10": float(p10),
        "p90": float(p90),
        "p99": float(p99),
        "cpu": float(np.median(timed.cpu)),
    }


def ratio(timed: Times, base: Times) -> float:
    """CPU time relative to `base`: the median over rounds, each with a turn of both."""
    return float(np.median(timed.cpu / base.cpu))


def is_busy(timed: Sequence[Times]) -> bool:
    """Whether other processes used the cores too: wall time clearly exceeds CPU time.

    With several threads this is less sensitive, as they use more CPU time than wall time.
    """
    ratios = [np.median(times.wall) / np.median(times.cpu) for times in timed]
    return bool(ratios) and float(np.median(ratios)) > BUSY
