"""One line for the many classes of a test that pass: the one that is least sure of it.

`recall(*)` is a test a class. What fails must be seen; of a hundred that pass, one line tells as
much: how many there are, and which of them comes closest to its bound. Of several networks it is
the same, for classes that pass in each of them and in none have shown a change.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tinyrefinery.data_tests.verdicts import Result, Verdict
from tinyrefinery.statistics.proportions import largest_absolute

FEW = 3
"""Our choice: so many classes of a test that pass are still told one by one."""


@dataclass(frozen=True)
class Line:
    """A test that is shown."""

    results: tuple[Result, ...]
    """Of each network; the first is what the others are compared with."""
    stands_for: int = 1
    """Classes of its test that pass, of which it is the least sure; 1: it stands for itself."""

    @property
    def result(self) -> Result:
        """Of the first network, often the only one."""
        return self.results[0]

    @property
    def told(self) -> str:
        """For how many it stands, in words; empty for itself alone."""
        if self.stands_for == 1:
            return ""
        which = "pass" if len(self.results) == 1 else "each network passes"
        return f"least sure of {self.stands_for:,} that {which}"


def lines(judged: Sequence[Sequence[Result]]) -> list[Line]:
    """Every test, a line each.

    Args:
        judged: for each network its results, of the same tests in the same order.
    """
    return [Line(results) for results in zip(*judged, strict=True)]


def folded(judged: Sequence[Sequence[Result]]) -> list[Line]:
    """What is shown of results, in their order; all but classes of one test that pass stay.

    Args:
        judged: for each network its results, of the same tests in the same order; those of one test
            for each class in turn are named `TEST[CLASS]`.
    """
    every = lines(judged)
    families: dict[str, list[int]] = {}
    for place, each in enumerate(every):
        name, bracket, _ = each.result.name.partition("[")
        if bracket and _is_quiet(each):
            families.setdefault(name, []).append(place)
    stands_for = dict.fromkeys(range(len(every)), 1)
    for places in families.values():
        if len(places) > FEW:
            least = min(places, key=lambda place: min(map(margin, every[place].results)))
            stands_for |= dict.fromkeys(places, 0) | {least: len(places)}
    return [Line(each.results, stands_for[i]) for i, each in enumerate(every) if stands_for[i]]


def _is_quiet(line: Line) -> bool:
    """Whether every network passes, and none does otherwise than the first."""
    passes = all(each.verdict is Verdict.PASS for each in line.results)
    return passes and not any(each.change_is_shown for each in line.results[1:])


def margin(result: Result) -> float:
    """How far the nearest end of the interval lies on the right side of the bound.

    Args:
        result: one that passes.
    """
    measured, bound = result.measured, result.bound
    assert measured is not None
    assert bound is not None
    if result.need.startswith(">="):
        return measured.low - bound
    return bound - (largest_absolute(measured.interval) if result.parts else measured.high)
