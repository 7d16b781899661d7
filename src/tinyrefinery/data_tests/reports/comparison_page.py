"""A comparison of several networks by the same tests, as one HTML file."""

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
    """The result of one network in one test."""

    verdict: str
    kind: str
    value: str
    change: str
    """Change from the first network; empty for the first one."""
    significant: bool
    """Whether the change is significant on these images."""
    share: float | None
    """Length of the bar in percent, or None for no bar."""


def changed(judged: Sequence[Sequence[Result]]) -> list[tuple[Result, Result]]:
    """The first and last network's results of tests whose verdicts differ.

    Args:
        judged: results per network, of the same tests in the same order.
    """
    pairs = zip(judged[0], judged[-1], strict=True)
    return [(first, last) for first, last in pairs if first.verdict is not last.verdict]


def headline(judged: Sequence[Sequence[Result]]) -> str:
    """For example, `3 of 8 verdicts changed: 2 FAIL to PASS, 1 FAIL to UNPROVEN`."""
    changes = [f"{first.verdict} to {last.verdict}" for first, last in changed(judged)]
    if not changes:
        return f"No verdict of {len(judged[0])} tests changed"
    counts = ", ".join(f"{changes.count(change)} {change}" for change in dict.fromkeys(changes))
    return f"{len(changes)} of {len(judged[0])} verdicts changed: {counts}"


def render(facts: Facts, names: Sequence[str], lines: Sequence[Line], headline: str) -> str:
    """Render the page as HTML.

    Args:
        facts: facts of the first network's results.
        names: names of the networks.
        lines: the tests to show, with the result of each network.
        headline: the headline.
    """
    shown = []
    for line in lines:
        first, *others = line.results
        cells = [_cell(first, None), *(_cell(result, first) for result in others)]
        has_changed = first.verdict is not line.results[-1].verdict
        shown.append((first, line.note, cells, has_changed))
    return template("comparison.html.j2", HERE).render(
        facts=facts, names=names, lines=shown, headline=headline, level=LEVEL
    )


def _cell(result: Result, first: Result | None) -> Cell:
    """A network's cell. For gaps and losses, it shows the difference, which is what is judged."""
    difference, count = texts.is_difference(result), texts.is_count(result)
    shown = result.measured if difference else result.shown
    change = ""
    if first is not None and first.shown is not None and shown is not None and not difference:
        change = f"{shown.value - first.shown.value:+.{0 if count else 3}f}".replace("-", "−")
    has_bar = shown is not None and not (difference or count)
    return Cell(
        verdict=texts.word(result),
        kind=result.verdict.value.lower().replace(" ", "-"),
        value=texts.value(shown, result),
        change=change,
        significant=bool(change) and result.change_is_shown,
        share=100 * shown.value if has_bar and shown is not None else None,
    )
