"""What the benchmarks share: interleaved repeats, CPU seconds of all processes, a table, CSV rows.

Clocks on the wall say little on a machine that others use too, so work is counted in core-seconds:
CPU time of this process and its children, with one thread in each. The ways to be compared take
turns, and a ratio is the median of the ratios within each round, so that a neighbour who comes or
goes disturbs all ways alike. Compare figures of one run of one script only.
"""

import argparse
import csv
import multiprocessing
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).parent / "results"
COLUMNS = (
    *("script", "when", "commit", "machine", "load", "shared", "torch", "threads"),
    *("figure", "unit", "n", "median", "min", "max", "ratio", "to"),
)

Way = Callable[[], int]
"""Does some work and returns how many items it did."""


@dataclass(frozen=True)
class Figure:
    """One row of the results."""

    name: str
    unit: str
    values: Sequence[float]
    """One a round."""
    ratio: float | None = None
    """Median over the rounds of this figure divided by that of `to`."""
    to: str = ""


def core_seconds() -> float:
    """CPU seconds used so far by this process and its children, alive or gone.

    Linux only: elsewhere the clock of a living child can't be read.
    """
    own, gone = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    total = own.ru_utime + own.ru_stime + gone.ru_utime + gone.ru_stime
    for child in multiprocessing.active_children():
        assert child.pid is not None
        # clock_getcpuclockid(3): the CPU clock of a process is the complement of its number.
        total += time.clock_gettime((~child.pid << 3) | 2)
    return total


def seconds_an_item(ways: Mapping[str, Callable[[], Way]], rounds: int) -> dict[str, list[float]]:
    """Core-seconds an item of each way in each round; a round before the first warms up.

    Each way is made and run in a process of its own, so that none inherits another's memory
    allocator, caches or workers; they wait while it is not their turn.
    """
    taken: dict[str, list[float]] = {name: [] for name in ways}
    doors = {name: _start(make) for name, make in ways.items()}
    order = list(ways)
    for number in range(rounds + 1):
        for name in order:
            doors[name].send(True)
            spent = doors[name].recv()
            if number:
                taken[name].append(spent)
        order = order[1:] + order[:1]  # no way always follows the same neighbour
        print(f"  round {number} of {rounds}", file=sys.stderr, flush=True)
    for door in doors.values():
        door.send(False)
    return taken


def _start(make: Callable[[], Way]) -> Connection:
    here, there = multiprocessing.Pipe()
    fork = multiprocessing.get_context("fork")
    fork.Process(target=_serve, args=(make, there)).start()
    there.close()
    return here


def _serve(make: Callable[[], Way], door: Connection) -> None:
    if "torch" in sys.modules:
        import torch

        # A fork leaves torch's thread pool to be set up anew, over which two threads would race.
        torch.set_num_threads(torch.get_num_threads())
    way = make()
    while door.recv():
        began = core_seconds()
        items = way()
        door.send((core_seconds() - began) / items)


def compared(
    taken: Mapping[str, Sequence[float]], unit: str, to: str, only: Sequence[str] | None = None
) -> list[Figure]:
    """Figures with their ratios to the way `to`.

    Args:
        taken: core-seconds an item, one a round.
        unit: `img/core-s` for a rate, `core-ms/...` for a time.
        to: the way that the others are compared with.
        only: some of the ways; all of them by default.
    """

    def scaled(name: str) -> list[float]:
        rate = unit.endswith("/core-s")
        return [1 / each if rate else 1000 * each for each in taken[name]]

    base = scaled(to)
    figures = []
    for name in taken if only is None else only:
        values = scaled(name)
        ratio = median(a / b for a, b in zip(values, base, strict=True))
        figures.append(Figure(name, unit, values, None if name == to else ratio, to))
    return figures


def quick() -> bool:
    """Read the command line: whether a short look is wanted, which is not kept."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--quick", action="store_true", help="less work, fewer rounds, no CSV rows")
    short = parser.parse_args().quick
    if platform.system() != "Linux":
        sys.exit("the benchmarks read the CPU clocks of processes, which needs Linux")
    return short


def report(title: str, figures: Sequence[Figure], *, keep: bool) -> None:
    """Print figures as a table; append them to the machine's CSV file when they are to be kept."""
    width = max(len(each.name) for each in figures)
    print(f"\n{title}\n{'':{width}}  {'unit':<13}{'median':>10}{'min':>10}{'max':>10}{'ratio':>8}")
    for each in figures:
        numbers = "".join(f"{v:>10.4g}" for v in (median(each.values), *_range(each)))
        ratio = "" if each.ratio is None else f"{each.ratio:>8.2f} x {each.to}"
        print(f"{each.name:<{width}}  {each.unit:<13}{numbers}{ratio}")
    sys.stdout.flush()
    if keep:
        _append(figures)


def _range(figure: Figure) -> tuple[float, float]:
    return min(figure.values), max(figure.values)


def _append(figures: Sequence[Figure]) -> None:
    machine, load = _machine(), os.getloadavg()[0]
    path = RESULTS / f"{re.sub('[^a-z0-9]+', '-', machine.lower()).strip('-')}.csv"
    fresh = not path.exists()
    RESULTS.mkdir(exist_ok=True)
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if fresh:
            writer.writerow(COLUMNS)
        for each in figures:
            low, high = _range(each)
            numbers = [f"{v:.5g}" for v in (median(each.values), low, high)]
            ratio = "" if each.ratio is None else f"{each.ratio:.4g}"
            # One thread here and two in workers at most: a higher load is other people's.
            shared = "yes" if load > 3.5 else "no"
            writer.writerow(
                [
                    Path(sys.argv[0]).stem,
                    datetime.now(UTC).isoformat(timespec="seconds"),
                    *(_commit(), machine, f"{load:.1f}", shared, _torch(), 1),
                    *(each.name, each.unit, len(each.values), *numbers, ratio),
                    each.to if ratio else "",
                ]
            )


def _machine() -> str:
    cpu = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores"


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    told = subprocess.run(command, cwd=RESULTS.parent, capture_output=True, text=True)
    return told.stdout.strip() or "unknown"


def _torch() -> str:
    from importlib.metadata import version

    return version("torch")
