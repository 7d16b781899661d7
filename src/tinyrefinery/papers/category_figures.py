"""Figures 4 to 6 of Label Refinery (arXiv 1805.02641): accuracy per category."""

from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tinyrefinery.pages.plots import category_accuracies, category_means, color
from tinyrefinery.pages.run_tables import StageGroup
from tinyrefinery.pages.style import INK, MUTED, PLAIN, REFINED, STYLE, short

BIN = 10.0  # width of a bin of training accuracy in Figure 4, percentage points: our choice
PARTS = 20  # largest number of parts of the categories in Figure 6: our choice
ACROSS = 3  # panels per row


def binned(
    train: np.ndarray, validation: np.ndarray, width: float = BIN
) -> list[tuple[float, float, float | None, int]]:
    """Put categories into bins [i * width, (i + 1) * width) of training accuracy.

    Args:
        train: (K,) training accuracy in percent. 100% is in the last bin.
        validation: (K,) validation accuracy in percent.
        width: width of a bin in percentage points.

    Returns:
        For each bin that isn't empty: mean training accuracy, mean validation accuracy, sample
        standard deviation of the latter (None for a single category), number of categories.
    """
    last = int(np.ceil(100 / width)) - 1
    bin_of = np.minimum((train / width).astype(int), last)
    bins = []
    for number in np.unique(bin_of):
        inside = bin_of == number
        values = validation[inside]
        std = float(values.std(ddof=1)) if len(values) > 1 else None
        bins.append((float(train[inside].mean()), float(values.mean()), std, len(values)))
    return bins


def train_against_validation(line: Sequence[StageGroup]) -> Figure | None:
    """Figure 4: one panel per generation, categories binned by training accuracy.

    None if no generation has accuracies per category.
    """
    panels = [group for group in line if len(category_accuracies(group)[0])]
    if not panels:
        return None
    with rc_context(STYLE):
        figure, all_axes = _panels(len(panels), 2.6, 2.7)
        for axes, group in zip(all_axes, panels, strict=True):
            train, validation = category_accuracies(group)
            axes.plot([0, 100], [0, 100], c=MUTED, lw=0.8)
            axes.plot(train, validation, "o", ms=3, mew=0, alpha=0.3, c=color(group))
            for x, y, std, n in binned(train, validation):
                axes.errorbar(x, y, std, fmt="s", ms=5, c=INK, capsize=3, lw=1.4)
                axes.text(x, 1, str(n), ha="center", va="bottom", color=MUTED, fontsize=7)
            axes.set(xlim=(0, 101), ylim=(0, 101), xlabel="training top-1, %")
            axes.set_title(short(f"gen {group.generation} · {group.name}", 34))
            axes.set_aspect("equal")
            gap = float(np.mean(train - validation))
            axes.text(4, 93, f"mean gap {gap:.1f}".replace("-", "−"), color=MUTED)
        all_axes[0].set_ylabel("validation top-1, %")
    return figure


def distributions(line: Sequence[StageGroup]) -> Figure | None:
    """Figure 5: distribution of the accuracies per category, two boxes per generation.

    Boxes show quartiles and median, whiskers the 5th and 95th percentile, dots the categories
    beyond. Mean and sample standard deviation over categories are next to them. None without
    accuracies per category.
    """
    groups = [group for group in line if len(category_accuracies(group)[0])]
    if not groups:
        return None
    with rc_context(STYLE):
        figure = Figure(figsize=(5.4, 0.8 + 0.72 * len(groups)), layout="constrained")
        axes = figure.add_subplot()
        for place, group in enumerate(groups):
            for shift, values, filled in zip(
                (-0.18, 0.18), category_accuracies(group), (False, True), strict=True
            ):
                _box(axes, place + shift, values, color(group), filled)
                std = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
                text = f"{'validation' if filled else 'training'} {values.mean():.1f}{std}"
                transform = axes.get_yaxis_transform()
                axes.text(1.02, place + shift, text, transform=transform, va="center", fontsize=8)
        names = [f"{short(group.name)} · gen {group.generation}" for group in groups]
        axes.set_yticks(range(len(groups)), names)
        axes.set_ylim(len(groups) - 0.5, -0.5)
        axes.set_xlim(-1, 101)
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_xlabel("top-1 of a category, %")
    return figure


def _box(axes: Axes, place: float, values: np.ndarray, tint: str, filled: bool) -> None:
    low, first, middle, third, high = np.percentile(values, (5, 25, 50, 75, 95))
    axes.plot([low, first, np.nan, third, high], [place] * 5, c=tint, lw=1.3)
    face = tint if filled else "none"
    axes.barh(place, third - first, 0.26, left=first, facecolor=face, edgecolor=tint, lw=1.3)
    middles = [place - 0.13, place + 0.13]
    axes.plot([middle] * 2, middles, c="white" if filled else INK, lw=2)
    beyond = values[(values < low) | (values > high)]
    axes.plot(beyond, np.full(len(beyond), place), "o", ms=2.5, mew=0, alpha=0.6, c=tint)


Pair = tuple[StageGroup, StageGroup, StageGroup | None]
"""A refined stage, its refiner, and the same network trained without refined labels."""


def profiles(pairs: Sequence[Pair]) -> Figure | None:
    """Figure 6: accuracy per category of the refiner and of its student.

    Categories are in the order of the refiner's validation accuracy, in up to `PARTS` parts of
    equal size. Lines show the mean, bands the standard deviation over the categories of a part. `r`
    is Pearson's correlation with the refiner over categories. In parentheses is that of the
    baseline, which two networks share because some categories are hard. None without common
    categories.
    """
    pairs = [pair for pair in pairs if len(_common(pair)) > 1]
    if not pairs:
        return None
    with rc_context(STYLE):
        figure = Figure(figsize=(7.2, 0.4 + 2.5 * len(pairs)), layout="constrained")
        grid = figure.subplots(len(pairs), 2, squeeze=False, sharey="row")
        for row, pair in zip(grid, pairs, strict=True):
            for split, axes in enumerate(row):
                _profile(axes, pair, split)
            row[0].set_ylabel("top-1, %")
            row[1].legend(frameon=False, fontsize=8, labelcolor=INK, loc="lower right")
        for axes in grid[-1]:
            axes.set_xlabel("categories, hardest for the refiner first, %")
    return figure


def _common(pair: Pair) -> list[str]:
    """Categories that all networks have, the hardest for the refiner first."""
    means = [category_means(group) for group in pair if group is not None]
    of_refiner = means[1]
    names = [name for name in of_refiner if all(name in other for other in means)]
    return sorted(names, key=lambda name: of_refiner[name][1])


def _profile(axes: Axes, pair: Pair, split: int) -> None:
    """Draw one panel, for training (split 0) or validation (split 1)."""
    student, refiner, baseline = pair
    names = _common(pair)
    parts = np.array_split(np.arange(len(names)), min(PARTS, len(names)))
    x = [100 * (part.mean() + 0.5) / len(names) for part in parts]
    values = {
        id(group): np.array([category_means(group)[name][split] for name in names])
        for group in pair
        if group is not None
    }
    styles = [(refiner, INK, "-", "refiner"), (baseline, PLAIN, ":", "given labels")]
    styles.append((student, REFINED, "--", "refined"))
    for group, tint, dashes, what in styles:
        if group is None:
            continue
        mean = np.array([values[id(group)][part].mean() for part in parts])
        std = np.array(
            [values[id(group)][part].std(ddof=1 if len(part) > 1 else 0) for part in parts]
        )
        label = f"{what}: {short(group.name, 22)}"
        axes.plot(x, mean, c=tint, ls=dashes, lw=2, label=label)
        axes.fill_between(x, mean - std, mean + std, color=tint, alpha=0.1, lw=0)
    r = correlation(values[id(student)], values[id(refiner)])
    text = f"r = {r:.2f}" if r is not None else "r: none"
    if baseline is not None:
        base = correlation(values[id(baseline)], values[id(refiner)])
        text += f" (given labels {base:.2f})" if base is not None else ""
    axes.set_title(f"{('training', 'validation')[split]}: {text}".replace("-", "−"))
    axes.set_ylim(0, 101)


def correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Pearson's r; None if either does not vary."""
    if a.std() < 1e-9 or b.std() < 1e-9:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _panels(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Panels with a common scale, up to `ACROSS` per row."""
    across = min(count, ACROSS)
    down = -(-count // across)
    figure = Figure(figsize=(0.4 + width * across, height * down), layout="constrained")
    grid = list(figure.subplots(down, across, squeeze=False, sharey=True).flat)
    for axes in grid[count:]:
        axes.remove()
    return figure, grid[:count]
