"""Plots of grouped stages, readable without color."""

from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tinyrefinery.pages.numbers import gain_points
from tinyrefinery.pages.run_tables import Comparison, StageGroup
from tinyrefinery.pages.style import INK, MUTED, PLAIN, REFINED, STYLE, short
from tinyrefinery.statistics.paired import spread


def color(group: StageGroup) -> str:
    """Blue for refined labels, gray for given ones."""
    return REFINED if group.refined else PLAIN


def dot_plot(groups: Sequence[StageGroup], measure: str, label: str, scale: float = 100) -> Figure:
    """Plot one line per stage, with one dot per seed, a bar at the mean, and the mean as text.

    Args:
        groups: stages from top to bottom. Those without the measure have an empty line.
        measure: see `StageGroup.values`.
        label: label of the axis, with the unit.
        scale: factor for the values.
    """
    with rc_context(STYLE):
        figure, axes = _figure(4.9, 0.75 + 0.4 * len(groups))
        for place, group in enumerate(groups):
            values = scale * np.array(list(group.values(measure).values()))
            if not len(values):
                continue
            axes.plot(
                values, np.full(len(values), place), "o", ms=5, mew=0, alpha=0.45, c=color(group)
            )
            axes.plot([values.mean()] * 2, [place - 0.26, place + 0.26], lw=2.2, c=color(group))
            text = f"{values.mean():.{1 if scale == 100 else 2}f}"
            axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), va="center")
        _stage_lines(axes, [f"{short(g.name)} · gen {g.generation}" for g in groups])
        axes.set_xlabel(label)
        axes.margins(x=0.08)
    return figure


def gain_plot(compared: Sequence[Comparison], held_out: str) -> Figure:
    """Plot one line per comparison: mean gain with its 95% interval, and a mark at zero."""
    with rc_context(STYLE):
        figure, axes = _figure(4.9, 0.75 + 0.4 * len(compared))
        axes.axvline(0, c=INK, lw=1)
        for place, comparison in enumerate(compared):
            gain = comparison.gain
            tint = INK if gain.verdict == "gain" else PLAIN
            if gain.low is not None and gain.high is not None:
                axes.plot([100 * gain.low, 100 * gain.high], [place] * 2, lw=2.2, c=tint)
            axes.plot([100 * gain.mean], [place], "o", ms=7, mew=0, c=tint)
            text = gain_points(gain).split(" ")[0]
            axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), va="center")
        _stage_lines(axes, [short(comparison.group.name) for comparison in compared])
        axes.set_xlabel(f"gain in {held_out} top-1, percentage points")
        axes.margins(x=0.08)
    return figure


def curve_plot(
    group: StageGroup, baseline: StageGroup | None = None, span: tuple[float, float] | None = None
) -> Figure:
    """Plot training and validation top-1 of a stage over epochs, mean over seeds.

    Args:
        group: the stage.
        baseline: another stage whose validation curve is added as a thin line.
        span: limits of the y axis in percent, to make plots comparable.
    """
    with rc_context(STYLE):
        figure, axes = _figure(3.1, 2.3)
        if baseline is not None:
            axes.plot(*curve(baseline, "validation_top1"), c=PLAIN, lw=1.6, ls=(0, (0.6, 2)))
        axes.plot(*curve(group, "train_top1"), c=color(group), lw=1.2, ls=(0, (4, 2)))
        axes.plot(*curve(group, "validation_top1"), c=color(group), lw=2)
        axes.set_title(short(group.name, 34))
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        if span is not None:
            axes.set_ylim(*span)
    return figure


def curve(group: StageGroup, measure: str) -> tuple[np.ndarray, np.ndarray]:
    """Epochs, and a measure of metrics.jsonl in percent, mean over seeds."""
    points: dict[int, list[float]] = {}
    for run in group.runs:
        for entry in run.metrics:
            if entry.get(measure) is not None:
                points.setdefault(int(entry["epoch"]), []).append(100 * float(entry[measure]))
    epochs = sorted(points)
    return np.array(epochs), np.array([spread(points[epoch]).mean for epoch in epochs])


def curve_span(groups: Sequence[StageGroup]) -> tuple[float, float] | None:
    """Common limits in percent for the curves of all groups; None without metrics."""
    measures = ("train_top1", "validation_top1")
    curves = [curve(group, measure)[1] for group in groups for measure in measures]
    values = np.concatenate([*curves, np.empty(0)])
    if not len(values):
        return None
    return max(0.0, values.min() - 3), min(101.0, values.max() + 3)


def category_plot(group: StageGroup) -> Figure | None:
    """Plot validation against training accuracy, one dot per category, mean over seeds.

    On the diagonal, a category generalizes fully. The further below, the more it is overfitted.
    None if there is no accuracy per category.
    """
    train, validation = category_accuracies(group)
    if not len(train):
        return None
    with rc_context(STYLE):
        figure, axes = _figure(3.1, 2.9)
        axes.plot([0, 100], [0, 100], c=MUTED, lw=0.8)
        axes.plot(train, validation, "o", ms=4.5, mew=0, alpha=0.5, c=color(group))
        axes.set(xlim=(0, 101), ylim=(0, 101), xlabel="training %", ylabel="validation %")
        axes.set_aspect("equal")
        axes.set_title(short(group.name, 34))
        gap = float(np.mean(train - validation))
        axes.text(4, 92, f"mean gap {gap:.1f}".replace("-", "−"), color=MUTED)
    return figure


def category_accuracies(group: StageGroup) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation accuracy per category in percent, mean over seeds.

    Categories without rows in either split are left out.
    """
    means = np.array(list(category_means(group).values())).reshape(-1, 2)
    return means[:, 0], means[:, 1]


def category_means(group: StageGroup) -> dict[str, tuple[float, float]]:
    """Training and validation accuracy in percent by category, see `category_accuracies`."""
    points: dict[str, list[tuple[float, float]]] = {}
    for run in group.runs:
        for row in run.evaluation.get("per_category", ()):
            if row["train_top1"] is not None and row["validation_top1"] is not None:
                pair = (100 * row["train_top1"], 100 * row["validation_top1"])
                points.setdefault(row["category"], []).append(pair)
    means = {name: np.array(pairs).mean(axis=0) for name, pairs in points.items()}
    return {name: (float(train), float(validation)) for name, (train, validation) in means.items()}


def main_plots(groups: Sequence[StageGroup], compared: Sequence[Comparison]) -> dict[str, Figure]:
    """The plots over all stages by name, without measures that are missing."""
    held_out = groups[0].held_out
    figures = {"gain": gain_plot(compared, held_out)} if compared else {}
    kinds = {
        "held_out_top1": (f"{held_out} top-1, %", 100),
        "gap": (f"training − {held_out} top-1, percentage points", 100),
        "label_kl": ("KL from true crop label to label, nats", 1),
    }
    for measure, (label, scale) in kinds.items():
        if any(group.values(measure) for group in groups):
            figures[measure] = dot_plot(groups, measure, label, scale)
    return figures


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure, size in inches, that adjusts to its texts."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _stage_lines(axes: Axes, names: list[str]) -> None:
    """Label the lines from top to bottom."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", labelcolor=INK)
