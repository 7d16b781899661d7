"""Results as tables for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from tinyrefinery.data_tests.reports import texts
from tinyrefinery.data_tests.reports.folding import Line
from tinyrefinery.data_tests.verdicts import LEVEL, Result, Verdict
from tinyrefinery.pages.cell_text import escape, one_line
from tinyrefinery.pages.narrow_tables import Column, Fitted

NAME = 16
"""Characters to which names are wrapped in a narrow terminal."""
INTERVAL = 11
"""Characters of an interval of shares. Wider ones, such as `−0.027 to +0.036`, are wrapped."""


def _mark(result: Result) -> Text:
    return Text(texts.word(result), style=texts.COLORS[result.verdict])


def _name(line: Line) -> Text:
    """The test's name, with its metric and the note on folded classes below."""
    note = f"\n{one_line(line.note)}" if line.note else ""
    return Text.assemble(one_line(line.result.name), "\n", (f"{line.result.metric}{note}", "dim"))


def results_table(
    lines: Sequence[Line], baseline: str | None, confidence: float, *, bars: bool = True
) -> RenderableType:
    """One line per test, with the baseline's value next to the network's.

    Without `bars`, it fits into 80 columns.
    """
    columns = [
        Column("verdict"),
        Column("test", NAME),
        Column("n", right=True),
        *([Column("baseline", right=True)] if baseline is not None else []),
        *([Column("")] if bars else []),
        Column("value", right=True),
        Column(f"{confidence:.0%}", INTERVAL),
        Column("need"),
    ]
    rows = []
    for line in lines:
        result = line.result
        cells = [
            "" if result.measured is None or texts.is_cost(result) else f"{result.measured.n:,}",
            *([texts.value(result.baseline, result)] if baseline is not None else []),
            *([texts.bar(result.shown, result)] if bars else []),
            texts.value(result.measured, result),
            texts.interval(result),
            result.need,
        ]
        rows.append([_mark(result), _name(line), *map(Text, cells)])
    return Fitted(columns, rows, head=1)


def reasons(lines: Sequence[Line]) -> list[str]:
    """One line of markup per test that has a remark."""
    return [
        f"{_mark(result).markup} {escape(result.name)}: {escape(texts.reason(result))}"
        for result in (line.result for line in lines)
        if texts.reason(result)
    ]


def comparison_table(names: Sequence[str], lines: Sequence[Line]) -> RenderableType:
    """One line per test, one column per network. The others are compared to the first.

    Args:
        names: names of the networks.
        lines: tests with the result of each network.
    """
    columns = [Column("test", NAME), Column("need")]
    columns += [Column(one_line(name), NAME, right=True) for name in names]
    rows = []
    for line in lines:
        first, *others = line.results
        cells = [_cell(first, None), *(_cell(result, first) for result in others)]
        rows.append([_name(line), Text(first.need), *cells])
    note = (
        "In parentheses: change from the first network. * significant on these images "
        f"(exact McNemar test, p < {LEVEL:g} after Holm's correction)."
    )
    return Group(Fitted(columns, rows, head=0), Text(note, style="italic dim"))


def _cell(result: Result, first: Result | None) -> Text:
    shown = result.measured if result.parts else result.shown
    mark = _mark(result)
    if shown is None:
        return mark
    plain = texts.value(shown, result)
    base = first and (first.measured if first.parts else first.shown)
    if base is None:
        return Text.assemble(plain, "\n", mark)
    change = shown.value - base.value
    digits = f"{change:+.0f}" if texts.is_count(result) else f"{change:+.3f}"
    star = "*" if result.change_is_shown else ""
    return Text.assemble(f"{plain} ({digits.replace('-', '−')}{star})\n", mark)


def history_table(values: Sequence[Mapping[str, Any]]) -> RenderableType:
    """One line per network, with a note if their images or metrics differ."""
    facts = ("data_digest", "slice", "metric")
    differ = any(len({result[fact] for result in values}) > 1 for fact in facts)
    columns = [Column("network", NAME), Column("when", 10)]
    columns += [
        Column(title, right=True) for title in ("n", "value", "interval", "need", "verdict")
    ]
    rows = []
    for result in values:
        measured = result["measured"] if result["parts"] else result["own"] or result["measured"]
        verdict = Verdict(result["verdict"])
        numbers = texts.recorded(result["metric"], measured) if measured else ("", "", "")
        when = str(result["when"])[:16].replace("T", " ")
        cells = [result["network"], when, *numbers, result["need"]]
        rows.append(
            [
                *(Text(one_line(cell)) for cell in cells),
                Text(verdict.value, style=texts.COLORS[verdict]),
            ]
        )
    note = "These results differ in their images or metric."
    return Group(Fitted(columns, rows, head=0), *([Text(note)] if differ else []))
