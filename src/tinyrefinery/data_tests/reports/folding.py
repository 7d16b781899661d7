"""Folding the many passing classes of a test into one line: the class closest to its bound.

`recall(*)` is one test per class. Failures must be visible. But for a hundred passing classes, one
line is enough: their number, and the class closest to its bound. For several networks, classes are
folded that pass in each of them without a significant change.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tinyrefinery.data_tests.verdicts import Result, Verdict
from tinyrefinery.statistics.proportions import largest_absolute

FEW = 3
"""Our choice: up to this number, the passing classes of a test have one line each."""


@dataclass(frozen=True)
class Line:
    """A line of a report: one test, or several folded ones."""

    results: tuple[Result, ...]
    """Results per network. The others are compared to the first."""
    folded: int = 1
    """Number of passing classes in this line, which shows the one closest to its bound."""

    @property
    def result(self) -> Result:
        """Result of the first network, often the only one."""
        return self.results[0]

    @property
    def note(self) -> str:
        """How many classes are folded; empty for one."""
        if self.folded == 1:
            return ""
        where = "" if len(self.results) == 1 else " in each network"
        return f"weakest of {self.folded:,} that pass{where}"


def lines(judged: Sequence[Sequence[Result]]) -> list[Line]:
    """One line per test.

    Args:
        judged: results per network, of the same tests in the same order.
    """
    return [Line(results) for results in zip(*judged, strict=True)]


def folded(judged: Sequence[Sequence[Result]]) -> list[Line]:
    """Lines in order, with the passing classes of a test folded into one.

    Args:
        judged: results per network, of the same tests in the same order. Results of one test per
            class are named `TEST[CLASS]`.
    """
    unfolded = lines(judged)
    families: dict[str, list[int]] = {}
    for place, line in enumerate(unfolded):
        name, bracket, _ = line.result.name.partition("[")
        if bracket and _is_quiet(line):
            families.setdefault(name, []).append(place)
    counts = dict.fromkeys(range(len(unfolded)), 1)
    for places in families.values():
        if len(places) > FEW:
            closest = min(places, key=lambda place: min(map(margin, unfolded[place].results)))
            counts |= dict.fromkeys(places, 0) | {closest: len(places)}
    return [Line(line.results, counts[i]) for i, line in enumerate(unfolded) if counts[i]]


def _is_quiet(line: Line) -> bool:
    """Whether every network passes without a significant change from the first."""
    passes = all(result.verdict is Verdict.PASS for result in line.results)
    return passes and not any(result.change_is_shown for result in line.results[1:])


def margin(result: Result) -> float:
    """Distance of the nearest end of the interval to the bound.

    Args:
        result: a result that passes.
    """
    measured, bound = result.measured, result.bound
    assert measured is not None
    assert bound is not None
    if result.need.startswith(">="):
        return measured.low - bound
    return bound - (largest_absolute(measured.interval) if result.parts else measured.high)
