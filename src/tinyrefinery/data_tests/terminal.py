"""Results as tables for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from tinyrefinery.data_tests import texts
from tinyrefinery.data_tests.folding import Line
from tinyrefinery.data_tests.verdicts import Result, Verdict

LEVEL = 0.05


def _table(caption: str = "") -> Table:
    return Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        caption=caption or None,
        caption_justify="left",
    )


def _colored(verdict: str, result_verdict: Verdict) -> str:
    return f"[{texts.COLORS[result_verdict]}]{verdict}[/]"


def results_table(
    lines: Sequence[Line], baseline: str | None, confidence: float, *, bars: bool = True
) -> Table:
    """One line a test, its metric below; the baseline's value beside the network's.

    Without `bars` it fits 80 columns.
    """
    table = _table()
    table.add_column("verdict", no_wrap=True)
    table.add_column("test", overflow="fold", min_width=16)
    for title in ("n", *(["baseline"] if baseline is not None else [])):
        table.add_column(title, justify="right", no_wrap=True)
    if bars:
        table.add_column("", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column(f"{confidence:.0%}".replace("%", " %"), no_wrap=True)
    table.add_column("need", no_wrap=True)
    for line in lines:
        each = line.result
        many = f"\nleast sure of {line.stands_for} that pass" if line.stands_for > 1 else ""
        table.add_row(
            _colored(texts.word(each), each.verdict),
            f"{escape(each.name)}\n[dim]{escape(each.metric)}{many}[/]",
            "" if each.measured is None else f"{each.measured.n:,}",
            *([texts.value(each.baseline, each)] if baseline is not None else []),
            *([texts.bar(each.shown, each)] if bars else []),
            texts.value(each.measured, each),
            texts.interval(each),
            escape(each.need),
        )
    return table


def reasons(lines: Sequence[Line]) -> list[str]:
    """A line of markup for each test about which there is something to say."""
    return [
        f"{_colored(texts.word(each), each.verdict)} {escape(each.name)}: "
        f"{escape(texts.reason(each))}"
        for each in (line.result for line in lines)
        if texts.reason(each)
    ]


def comparison_table(names: Sequence[str], judged: Sequence[Sequence[Result]]) -> Table:
    """One line a test, a column a network; the first is what the others are compared with.

    Args:
        names: of the networks.
        judged: for each network its results, of the same tests in the same order.
    """
    table = _table(
        "In brackets: the change against the first network; * shown on these images "
        f"(exact McNemar, p < {LEVEL:g} after Holm's correction)."
    )
    table.add_column("test", overflow="fold", min_width=16)
    table.add_column("need", no_wrap=True)
    for name in names:
        table.add_column(escape(name), justify="right")
    for results in zip(*judged, strict=True):
        first = results[0]
        cells = [_cell(each, None if each is first else first) for each in results]
        what = f"{escape(first.name)}\n[dim]{escape(first.metric)}[/]"
        table.add_row(what, escape(first.need), *cells)
    return table


def _cell(result: Result, first: Result | None) -> str:
    shown = result.measured if result.parts else result.shown
    mark = _colored(texts.word(result), result.verdict)
    if shown is None:
        return mark
    plain = texts.value(shown, result)
    theirs = first and (first.measured if first.parts else first.shown)
    if theirs is None:
        return f"{plain}\n{mark}"
    change = shown.value - theirs.value
    digits = f"{change:+.0f}" if texts.is_count(result) else f"{change:+.3f}"
    tested = result.change_p is not None and not result.parts  # of a gap nothing is tested
    star = "*" if tested and (result.change_p or 0) < LEVEL else ""
    return f"{plain} ({digits.replace('-', '−')}{star})\n{mark}"


def history_table(values: Sequence[Mapping[str, Any]]) -> Table:
    """A test's value over networks, in the order given; it says so where the images changed."""
    several = any(
        len({each[fact] for each in values}) > 1 for fact in ("data_digest", "slice", "metric")
    )
    table = _table("Not all of these are of the same images and metric." if several else "")
    for title in ("network", "when"):
        table.add_column(title, overflow="fold")
    for title in ("n", "value", "interval", "need", "verdict"):
        table.add_column(title, justify="right", no_wrap=True)
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
        mark = _colored(verdict.value, verdict)
        when = str(each["when"])[:16].replace("T", " ")
        table.add_row(escape(each["network"]), when, *numbers, escape(each["need"]), mark)
    return table
