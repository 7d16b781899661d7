"""Several networks under the same tests as one HTML file: which tests moved, and by how much."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyrefinery.data_tests import texts
from tinyrefinery.data_tests.records import Facts
from tinyrefinery.data_tests.terminal import LEVEL
from tinyrefinery.data_tests.verdicts import Result
from tinyrefinery.reports.templating import template

HERE = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Cell:
    """What one network did in one test."""

    verdict: str
    kind: str
    value: str
    change: str
    """Against the first network; empty for that one."""
    shown: bool
    """Whether the change is more than chance on these images."""
    share: float | None
    """Of a bar, in percent; None where there is none to draw."""


def moved(judged: Sequence[Sequence[Result]]) -> list[tuple[Result, Result]]:
    """Tests with another verdict in the last network than in the first: both results.

    Args:
        judged: for each network its results, of the same tests in the same order.
    """
    pairs = zip(judged[0], judged[-1], strict=True)
    return [(first, last) for first, last in pairs if first.verdict is not last.verdict]


def headline(judged: Sequence[Sequence[Result]]) -> str:
    """`3 of 8 tests moved: 2 FAIL to PASS, 1 FAIL to UNPROVEN`."""
    ways = [f"{first.verdict} to {last.verdict}" for first, last in moved(judged)]
    if not ways:
        return f"None of {len(judged[0])} tests moved"
    told = ", ".join(f"{ways.count(way)} {way}" for way in dict.fromkeys(ways))
    return f"{len(ways)} of {len(judged[0])} tests moved: {told}"


def render(facts: Facts, names: Sequence[str], judged: Sequence[Sequence[Result]]) -> str:
    """The page's HTML.

    Args:
        facts: of the first network's results.
        names: of the networks.
        judged: for each network its results, of the same tests in the same order.
    """
    lines = []
    for results in zip(*judged, strict=True):
        first = results[0]
        cells = [_cell(each, None if place == 0 else first) for place, each in enumerate(results)]
        lines.append((first, cells, first.verdict is not results[-1].verdict))
    return template("comparison.html.j2", HERE).render(
        facts=facts, names=names, lines=lines, headline=headline(judged), level=LEVEL
    )


def _cell(result: Result, first: Result | None) -> Cell:
    """A network's cell; of a gap or a loss the difference is judged, so that is what it shows."""
    difference, count = texts.is_difference(result), texts.is_count(result)
    shown = result.measured if difference else result.shown
    change = ""
    if first is not None and first.shown is not None and shown is not None and not difference:
        change = f"{shown.value - first.shown.value:+.{0 if count else 3}f}".replace("-", "−")
    drawn = shown is not None and not (difference or count)
    return Cell(
        verdict=texts.word(result),
        kind=result.verdict.value.lower().replace(" ", "-"),
        value=texts.value(shown, result),
        change=change,
        shown=bool(change) and result.change_p is not None and result.change_p < LEVEL,
        share=100 * shown.value if drawn and shown is not None else None,
    )
