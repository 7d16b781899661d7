"""Accuracy against one cost: table lines and a self-contained page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyrefinery.files import write_atomic
from tinyrefinery.pages.inline import inline_svg
from tinyrefinery.pages.numbers import NOTHING, kilo
from tinyrefinery.pages.templating import template
from tinyrefinery.reports.pareto import COSTS, Point, cost_figure, front

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class ParetoLine:
    """One network of the table, as text."""

    name: str
    accuracy: str
    """Percent, with its 95 % interval where it is known."""
    n: str
    bytes: str
    ram: str
    macs: str
    parameters: str
    on_front: bool
    """Whether no other network of the panel beats it in accuracy and cost."""
    source: str
    """Of a published network; empty for ours."""


def pareto_lines(points: Sequence[Point], cost: str) -> list[ParetoLine]:
    """The lines of a panel, by rising cost; networks whose cost is not known come last."""
    known = [point for point in points if getattr(point, cost) is not None]
    best = {id(known[i]) for i in front([getattr(p, cost) for p in known], [p.top1 for p in known])}
    known.sort(key=lambda point: (getattr(point, cost), -point.top1))
    rest = [point for point in points if getattr(point, cost) is None]
    return [_line(point, id(point) in best) for point in (*known, *rest)]


def _line(point: Point, on_front: bool) -> ParetoLine:
    ours = point.family == "ours"
    interval = point.interval and f" ({point.interval[0]:.1f} to {point.interval[1]:.1f})"
    return ParetoLine(
        name=point.name if ours else f"{point.family} {point.name}",
        accuracy=f"{point.top1:.1f}{interval or ''}",
        n=NOTHING if point.n is None else f"{point.n:,}",
        bytes=_count(point.bytes),
        ram=_count(point.ram),
        macs=NOTHING if point.macs is None else kilo(1e6 * point.macs),
        parameters=NOTHING if point.parameters is None else kilo(1e6 * point.parameters),
        on_front=on_front,
        source="" if ours else point.source,
    )


def write_pareto_page(
    panels: Mapping[str, list[Point]], cost: str, notes: Sequence[str], path: Path
) -> None:
    """Write the page: a figure, and a table per panel.

    Raises:
        StorageError: if the file is not writable.
    """
    what, _ = COSTS[cost]
    title = f"Accuracy against {what}"
    drawn = {name: points for name, points in panels.items() if _drawable(points, cost)}
    figure = inline_svg(cost_figure(drawn, cost), title) if drawn else ""
    text = template("pareto.html.j2", _TEMPLATES).render(
        title=title,
        figure=figure,
        panels={name: pareto_lines(points, cost) for name, points in panels.items()},
        notes=notes,
    )
    write_atomic(path, text)


def _drawable(points: Sequence[Point], cost: str) -> bool:
    return any(getattr(point, cost) is not None for point in points)


def _count(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"
