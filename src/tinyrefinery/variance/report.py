"""Feature-map variances for people: a table, files, and the images at either end."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from PIL import Image
from rich.markup import escape
from rich.table import Table

from tinyrefinery.files import write_atomic, write_csv
from tinyrefinery.pages.style import STYLE, save_plots, short

MOST_LINES = 12
"""Networks in the plot of distributions."""
SIDE = 1.1
"""Width of a picture on a sheet, in inches."""
PIXELS = 176
"""Largest side of a picture on a sheet, in pixels."""


class Variances(Protocol):
    """One layer of one network, as `measuring.LayerVariances`."""

    @property
    def network(self) -> str:
        """Its name."""
        ...

    @property
    def seed(self) -> int | None:
        """Of its training."""
        ...

    @property
    def layer(self) -> str:
        """Name of the layer."""
        ...

    @property
    def values(self) -> np.ndarray:
        """(N,) variances."""
        ...


def variance_table(measured: Sequence[Variances], summaries: Sequence[dict[str, Any]]) -> Table:
    """One line a network and layer: average, maximum and minimum over images, as Table 5."""
    table = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        caption="unbiased variance of each image's feature map; over images",
        caption_justify="left",
    )
    table.add_column("network", overflow="fold", min_width=12)
    table.add_column("layer", overflow="fold")
    for title in ("seed", "n", "average", "maximum", "minimum", "std"):
        table.add_column(title, justify="right", no_wrap=True)
    for each, found in zip(measured, summaries, strict=True):
        numbers = [f"{found[name]:.4g}" for name in ("mean", "max", "min", "std")]
        seed = "" if each.seed is None else str(each.seed)
        table.add_row(escape(each.network), escape(each.layer), seed, str(found["n"]), *numbers)
    return table


def write_variances(
    folder: Path,
    measured: Sequence[Variances],
    summaries: Sequence[dict[str, Any]],
    images: Sequence[Sequence[tuple[str, str]]],
) -> None:
    """Write `variances.json`, the summaries, and `variances.csv`, a line an image.

    Args:
        folder: made if it isn't there.
        measured: what was measured.
        summaries: `evaluation.variance.summary` of each.
        images: (id, category) of each image of each.
    """
    facts = [
        {"network": each.network, "seed": each.seed, "layer": each.layer, **found}
        for each, found in zip(measured, summaries, strict=True)
    ]
    write_atomic(folder / "variances.json", json.dumps(facts, indent=1, allow_nan=False))
    rows = (
        [each.network, each.seed, each.layer, id, category, f"{value:.9g}"]
        for each, whose in zip(measured, images, strict=True)
        for (id, category), value in zip(whose, each.values, strict=True)
    )
    columns = ["network", "seed", "layer", "id", "category", "variance"]
    write_csv(folder / "variances.csv", columns, rows)


def distribution_plot(measured: Sequence[Variances]) -> Figure:
    """Share of images below each variance, a line a network and layer; the first few of them."""
    with rc_context(STYLE):
        figure = Figure(figsize=(8.5, 3.6), layout="constrained")
        axes = figure.add_subplot()
    for number, each in enumerate(measured[:MOST_LINES]):
        values = np.sort(each.values)
        share = np.arange(1, len(values) + 1) / len(values)
        name = each.network if each.layer == "features" else f"{each.network} {each.layer}"
        seed = "" if each.seed is None else f", seed {each.seed}"
        style = "-" if number < 10 else "--"
        axes.step(values, share * 100, where="post", linestyle=style, label=short(name, 44) + seed)
    if all(each.values.min() > 0 for each in measured[:MOST_LINES]):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("variance of the feature map")
    axes.set_ylabel("images below it, percent")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def contact_sheet(
    title: str,
    low: Sequence[tuple[np.ndarray, str, float]],
    high: Sequence[tuple[np.ndarray, str, float]],
) -> Figure:
    """The images of least variance above those of greatest, as figures of the paper show them.

    Args:
        title: above both.
        low: pixels (H, W, C) uint8, category and variance, the least first.
        high: the same, the greatest first.
    """
    columns = max(len(low), len(high), 1)
    figure = Figure(figsize=(SIDE * columns, 2 * (SIDE + 0.45) + 0.3), layout="constrained")
    figure.suptitle(title, fontsize=9)
    grid = figure.subplots(2, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for line, (name, images) in enumerate((("least", low), ("greatest", high))):
        for axes, (pixels, category, value) in zip(grid[line], images, strict=False):
            axes.imshow(_small(pixels))
            axes.set_title(f"{short(category, 14)}\n{value:.3g}", fontsize=7, loc="center")
        grid[line][0].text(
            -0.08, 0.5, name, transform=grid[line][0].transAxes, rotation=90, va="center",
            ha="right", fontsize=8,
        )  # fmt: skip
    return figure


def _small(pixels: np.ndarray) -> Image.Image:
    """A picture of at most `PIXELS`, in color."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    image.thumbnail((PIXELS, PIXELS))
    return image


def save_figures(figures: dict[str, Figure], folder: Path) -> list[Path]:
    """As `save_plots`, under names that are safe for files."""
    safe = {re.sub(r"[^\w.-]+", "_", name).strip("_"): figure for name, figure in figures.items()}
    return save_plots(safe, folder)
