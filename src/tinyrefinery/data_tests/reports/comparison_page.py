"""Several networks under the same tests as one HTML file: which tests moved, and by how much."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyrefinery.data_tests.reports import texts
from tinyrefinery.data_tests.reports.folding import Line
from tinyrefinery.data_tests.reports.records import Facts
from tinyrefinery.data_tests.verdicts import LEVEL, Result
from tinyrefinery.pages.templating import template

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


def render(facts: Facts, names: Sequence[str], lines: Sequence[Line], headline: str) -> str:
    """The page's HTML.

    Args:
        facts: of the first network's results.
        names: of the networks.
        lines: tests that are shown, with the result of each network.
        headline: what `headline` says of all tests.
    """
    shown = []
    for line in lines:
        first, *others = line.results
        cells = [_cell(first, None), *(_cell(each, first) for each in others)]
        has_moved = first.verdict is not line.results[-1].verdict
        shown.append((first, line.told, cells, has_moved))
    return template("comparison.html.j2", HERE).render(
        facts=facts, names=names, lines=shown, headline=headline, level=LEVEL
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
        shown=bool(change) and result.change_is_shown,
        share=100 * shown.value if drawn and shown is not None else None,
    )
