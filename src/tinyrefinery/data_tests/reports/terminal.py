"""Results as tables for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from tinyrefinery.data_tests.reports import texts
from tinyrefinery.data_tests.reports.folding import Line
from tinyrefinery.data_tests.verdicts import LEVEL, Result, Verdict
from tinyrefinery.pages.narrow_tables import Column, Fitted

NAME = 16
"""Characters that names are folded to where room is short."""
INTERVAL = 11
"""Those of an interval of shares; that of a difference, `−0.027 to +0.036`, is folded to it."""


def _mark(result: Result) -> Text:
    return Text(texts.word(result), style=texts.COLORS[result.verdict])


def _name(line: Line) -> Text:
    """A test, its metric below, and for how many it stands."""
    told = f"\n{line.told}" if line.told else ""
    return Text.assemble(line.result.name, "\n", (f"{line.result.metric}{told}", "dim"))


def results_table(
    lines: Sequence[Line], baseline: str | None, confidence: float, *, bars: bool = True
) -> RenderableType:
    """One line a test, its metric below; the baseline's value beside the network's.

    Without `bars` it fits 80 columns.
    """
    columns = [
        Column("verdict"),
        Column("test", NAME),
        Column("n", right=True),
        *([Column("baseline", right=True)] if baseline is not None else []),
        *([Column("")] if bars else []),
        Column("value", right=True),
        Column(f"{confidence:.0%}".replace("%", " %"), INTERVAL),
        Column("need"),
    ]
    rows = []
    for line in lines:
        each = line.result
        cells = [
            "" if each.measured is None else f"{each.measured.n:,}",
            *([texts.value(each.baseline, each)] if baseline is not None else []),
            *([texts.bar(each.shown, each)] if bars else []),
            texts.value(each.measured, each),
            texts.interval(each),
            each.need,
        ]
        rows.append([_mark(each), _name(line), *map(Text, cells)])
    return Fitted(columns, rows, head=1)


def reasons(lines: Sequence[Line]) -> list[str]:
    """A line of markup for each test about which there is something to say."""
    return [
        f"{_mark(each).markup} {escape(each.name)}: {escape(texts.reason(each))}"
        for each in (line.result for line in lines)
        if texts.reason(each)
    ]


def comparison_table(names: Sequence[str], lines: Sequence[Line]) -> RenderableType:
    """One line a test, a column a network; the first is what the others are compared with.

    Args:
        names: of the networks.
        lines: tests with the result of each of them.
    """
    columns = [Column("test", NAME), Column("need")]
    columns += [Column(name, NAME, right=True) for name in names]
    rows = []
    for line in lines:
        first, *others = line.results
        cells = [_cell(first, None), *(_cell(each, first) for each in others)]
        rows.append([_name(line), Text(first.need), *cells])
    note = (
        "In brackets: the change against the first network; * shown on these images "
        f"(exact McNemar, p < {LEVEL:g} after Holm's correction)."
    )
    return Group(Fitted(columns, rows, head=0), Text(note, style="italic dim"))


def _cell(result: Result, first: Result | None) -> Text:
    shown = result.measured if result.parts else result.shown
    mark = _mark(result)
    if shown is None:
        return mark
    plain = texts.value(shown, result)
    theirs = first and (first.measured if first.parts else first.shown)
    if theirs is None:
        return Text.assemble(plain, "\n", mark)
    change = shown.value - theirs.value
    digits = f"{change:+.0f}" if texts.is_count(result) else f"{change:+.3f}"
    star = "*" if result.change_is_shown else ""
    return Text.assemble(f"{plain} ({digits.replace('-', '−')}{star})\n", mark)


def history_table(values: Sequence[Mapping[str, Any]]) -> RenderableType:
    """A test's value over networks, in the order given; it says so where the images changed."""
    several = any(
        len({each[fact] for each in values}) > 1 for fact in ("data_digest", "slice", "metric")
    )
    columns = [Column("network", NAME), Column("when", 10)]
    columns += [
        Column(title, right=True) for title in ("n", "value", "interval", "need", "verdict")
    ]
    rows = []
    for each in values:
        measured = each["measured"] if each["parts"] else each["own"] or each["measured"]
        verdict = Verdict(each["verdict"])
        numbers = ["", "", ""]
        if measured:
            low, high = measured["low"], measured["high"]
            digits = 0 if each["metric"] == "errors" else 3
            numbers = [
                f"{measured['n']:,}",
                f"{measured['value']:.{digits}f}",
                f"{low:.{digits}f} to {high:.{digits}f}",
            ]
        when = str(each["when"])[:16].replace("T", " ")
        cells = [each["network"], when, *numbers, each["need"]]
        rows.append([*map(Text, cells), Text(verdict.value, style=texts.COLORS[verdict])])
    note = "Not all of these are of the same images and metric."
    return Group(Fitted(columns, rows, head=0), *([Text(note)] if several else []))
