"""Accuracy against cost: the literature's compact networks, and those of run folders.

The literature's points are in `literature.csv` beside this file, each with its dataset and its
source. Networks of other data have panels of their own, as their accuracies mean something else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tinyrefinery.files import read_csv
from tinyrefinery.pages.run_tables import StageGroup
from tinyrefinery.pages.style import INK, MUTED, REFINED, STYLE, short
from tinyrefinery.papers.figures import PaperFigure
from tinyrefinery.runs.run_folder import Run

IMAGENET = "imagenet"
"""Name of the dataset that most of the literature's points are of."""
COSTS = {
    "macs": ("multiply-accumulates of an image", "millions"),
    "parameters": ("parameters", "millions"),
    "bytes": ("bytes of the file", "bytes"),
    "ram": ("memory on a microcontroller", "bytes of the arena"),
}
IN_REPORTS = ("macs", "parameters")
"""Costs that the report of a run has a figure of."""
MARKERS = "osD^v<>PXph*"


@dataclass(frozen=True)
class Point:
    """One network. Parameters and MACs are in millions, top-1 in percent of held-out images."""

    name: str
    family: str
    parameters: float | None
    macs: float | None
    top1: float
    source: str
    std: float | None = None
    """Of top-1 over seeds, where there are several."""
    bytes: float | None = None
    """Of its file."""
    ram: float | None = None
    """Bytes of the arena on a microcontroller."""
    interval: tuple[float, float] | None = None
    """95 % interval of top-1 over images, in percent."""
    n: int | None = None
    """Images that top-1 was measured on."""


def literature(data: str = IMAGENET) -> list[Point]:
    """The literature's compact networks on a dataset, with their sources."""
    return [
        Point(
            name=line["name"],
            family=line["family"],
            parameters=float(line["parameters_m"]),
            macs=float(line["macs_m"]),
            top1=float(line["top1"]),
            source=line["source"],
            bytes=float(line["bytes"]) if line["bytes"] else None,
            ram=float(line["ram"]) if line["ram"] else None,
        )
        for line in read_csv(Path(__file__).parent / "literature.csv")
        if line["data"] == data
    ]


def own_points(folders: Sequence[Run], groups: Sequence[StageGroup]) -> dict[str, list[Point]]:
    """The networks of runs by their dataset, those whose cost and accuracy were measured."""
    # Datasets are named "cifar10 in FOLDER".
    names = {each.path: str(each.data.get("name") or "data") for each in folders}
    data = {run: name.partition(" in ")[0] for run, name in names.items()}
    found: dict[str, list[Point]] = {}
    for group in groups:
        size, work = group.spread("parameters"), group.spread("macs")
        top1 = group.spread("held_out_top1")
        if size is None or work is None or top1 is None:
            continue
        std = None if top1.std is None else 100 * top1.std
        point = Point(
            *(group.name, "ours", size.mean / 1e6, work.mean / 1e6, 100 * top1.mean),
            *(group.first.run, std),
        )
        found.setdefault(data[group.first.run_folder], []).append(point)
    return found


def front(costs: Sequence[float], values: Sequence[float]) -> list[int]:
    """Places of the points that no other one beats, by rising cost; of equal points the first.

    One beats another that costs at most as much and is better, or costs less and is as good.
    """
    order = sorted(range(len(costs)), key=lambda i: (costs[i], -values[i]))
    best, found = -np.inf, []
    for i in order:
        if values[i] > best:
            found.append(i)
            best = values[i]
    return found


def pareto_figures(folders: Sequence[Run], groups: Sequence[StageGroup]) -> list[PaperFigure]:
    """Two figures, accuracy against multiply-accumulates and against parameters.

    The first panel is ImageNet, with ours if there are any; each other dataset has its own.
    """
    ours = own_points(folders, groups)
    panels = {IMAGENET: [*literature(), *ours.pop(IMAGENET, [])], **ours}
    sources = "; ".join(dict.fromkeys(point.source.split(";")[0] for point in literature()))
    return [
        PaperFigure(
            f"pareto-{cost}",
            f"Accuracy against {what}",
            "Line: networks that no other one beats in both. Left: ImageNet at 224 pixels, each "
            f"point as its source has it, by recipes of their own ({sources}). Costs by the plain "
            "count; accuracies of different datasets can't be compared.",
            _figure(panels, cost, f"{what}, {unit}"),
        )
        for cost, (what, unit) in COSTS.items()
        if cost in IN_REPORTS
    ]


def cost_figure(panels: dict[str, list[Point]], cost: str) -> Figure:
    """Accuracy against one cost of `COSTS`, a panel per set of images."""
    what, unit = COSTS[cost]
    return _figure(panels, cost, what if unit in what else f"{what}, {unit}")


def _figure(panels: dict[str, list[Point]], cost: str, label: str) -> Figure:
    with rc_context(STYLE):
        figure = Figure(figsize=(5.2 * len(panels), 3.8), layout="constrained")
        grid = figure.subplots(1, len(panels), squeeze=False)
        for axes, (data, points) in zip(grid[0], panels.items(), strict=True):
            _panel(axes, points, cost)
            axes.set_title(data)
            axes.set_xlabel(label)
            axes.set_ylabel("top-1, %")
    return figure


def _error(point: Point) -> tuple[float, float]:
    """Lengths of a point's error bar, down and up: its interval, else its deviation."""
    if point.interval is None:
        return point.std or 0, point.std or 0
    return point.top1 - point.interval[0], point.interval[1] - point.top1


def _panel(axes: Axes, points: Sequence[Point], cost: str) -> None:
    """One dataset: a marker a family, names beside the points, the front as a line."""
    points = [point for point in points if getattr(point, cost) is not None]
    families = list(dict.fromkeys(point.family for point in points))
    for number, family in enumerate(families):
        own = [point for point in points if point.family == family]
        tint = REFINED if family in ("ours", "SkipblockNet") else MUTED
        axes.errorbar(
            [getattr(point, cost) for point in own],
            [point.top1 for point in own],
            yerr=np.transpose([_error(point) for point in own]),
            fmt=MARKERS[number % len(MARKERS)],
            c=INK if family == "ours" else tint,
            ms=5,
            mew=0,
            elinewidth=1.2,
            alpha=0.85,
            label=family,
        )
        for point in own:
            axes.annotate(
                short(point.name, 22),
                (getattr(point, cost), point.top1),
                xytext=(4, 3),
                textcoords="offset points",
                fontsize=6.5,
                color=tint,
            )
    costs, values = [getattr(point, cost) for point in points], [point.top1 for point in points]
    best = front(costs, values)
    axes.plot([costs[i] for i in best], [values[i] for i in best], c=MUTED, lw=0.9, zorder=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.tick_params(axis="x", which="both", labelsize=7)
    axes.margins(0.1)
    axes.legend(frameon=False, fontsize=7, loc="best")
