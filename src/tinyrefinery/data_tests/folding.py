"""One line for the many classes of a test that pass: the one that is least sure of it.

`recall(*)` is a test a class. What fails must be seen; of a hundred that pass, one line tells as
much: how many there are, and which of them comes closest to its bound.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tinyrefinery.data_tests.verdicts import Result, Verdict
from tinyrefinery.evaluation.proportions import farthest

FEW = 3
"""Our choice: so many classes of a test that pass are still told one by one."""


@dataclass(frozen=True)
class Line:
    """A result that is shown."""

    result: Result
    stands_for: int = 1
    """Classes of its test that pass, of which it is the least sure; 1: it stands for itself."""


def folded(results: Sequence[Result]) -> list[Line]:
    """What is shown of results, in their order; all but classes of one test that pass stay.

    Args:
        results: of the tests of a file; those of one test for each class in turn are named
            `TEST[CLASS]`.
    """
    families: dict[str, list[int]] = {}
    for place, each in enumerate(results):
        name, bracket, _ = each.name.partition("[")
        if bracket and each.verdict is Verdict.PASS:
            families.setdefault(name, []).append(place)
    stands_for = dict.fromkeys(range(len(results)), 1)
    for places in families.values():
        if len(places) > FEW:
            least = min(places, key=lambda place: margin(results[place]))
            stands_for |= dict.fromkeys(places, 0) | {least: len(places)}
    return [Line(each, stands_for[i]) for i, each in enumerate(results) if stands_for[i]]


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
    return bound - (farthest(measured.interval) if result.parts else measured.high)
