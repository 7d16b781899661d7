"""Reporting feature-map variances: a table, files, and the images with extreme variances."""

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

from tinyrefinery.files import write_atomic, write_csv
from tinyrefinery.pages.cell_text import escape
from tinyrefinery.pages.narrow_tables import FittedTable
from tinyrefinery.pages.plain_table import plain_table
from tinyrefinery.pages.style import STYLE, save_plots, short

MOST_LINES = 12
"""Largest number of lines in the plot of distributions."""
SIDE = 1.1
"""Width of a picture on a sheet in inches."""
PIXELS = 176
"""Largest side of a picture on a sheet in pixels."""


class Variances(Protocol):
    """Variances of one layer of one network, see `measuring.LayerVariances`."""

    @property
    def network(self) -> str:
        """Name of the network."""
        ...

    @property
    def seed(self) -> int | None:
        """Seed of its training."""
        ...

    @property
    def layer(self) -> str:
        """Name of the layer."""
        ...

    @property
    def values(self) -> np.ndarray:
        """(N,) variances."""
        ...


def variance_table(
    measured: Sequence[Variances], summaries: Sequence[dict[str, Any]]
) -> FittedTable:
    """One line per network and layer: average, maximum and minimum over images, as in Table 5."""
    table = plain_table(
        {"network": 12, "layer": None},
        ("seed", "n", "average", "maximum", "minimum", "std"),
        "Unbiased variance of each image's feature map, over images.",
    )
    for layer, summary in zip(measured, summaries, strict=True):
        numbers = [f"{summary[name]:.4g}" for name in ("mean", "max", "min", "std")]
        seed = "" if layer.seed is None else str(layer.seed)
        names = (escape(layer.network), escape(layer.layer))
        table.add_row(*names, seed, str(summary["n"]), *numbers)
    return table


def write_variances(
    folder: Path,
    measured: Sequence[Variances],
    summaries: Sequence[dict[str, Any]],
    images: Sequence[Sequence[tuple[str, str]]],
) -> None:
    """Write `variances.json` with the summaries, and `variances.csv` with one line per image.

    Args:
        folder: folder for the files. It is created if needed.
        measured: variances per network and layer.
        summaries: `feature_variances.summary` of each of `measured`.
        images: (id, category) of each image, for each of `measured`.
    """
    facts = [
        {"network": layer.network, "seed": layer.seed, "layer": layer.layer, **summary}
        for layer, summary in zip(measured, summaries, strict=True)
    ]
    write_atomic(folder / "variances.json", json.dumps(facts, indent=1, allow_nan=False))
    rows = (
        [layer.network, layer.seed, layer.layer, id, category, f"{value:.9g}"]
        for layer, layer_images in zip(measured, images, strict=True)
        for (id, category), value in zip(layer_images, layer.values, strict=True)
    )
    columns = ["network", "seed", "layer", "id", "category", "variance"]
    write_csv(folder / "variances.csv", columns, rows)


@rc_context(STYLE)
def distribution_plot(measured: Sequence[Variances]) -> Figure:
    """Plot the share of images below each variance, one line per network and layer."""
    measured = measured[:MOST_LINES]
    figure = Figure(figsize=(8.5, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for number, layer in enumerate(measured):
        values = np.sort(layer.values)
        share = np.arange(1, len(values) + 1) / len(values)
        name = layer.network if layer.layer == "features" else f"{layer.network} {layer.layer}"
        seed = "" if layer.seed is None else f", seed {layer.seed}"
        style = "-" if number < 10 else "--"
        axes.step(values, share * 100, where="post", linestyle=style, label=short(name, 44) + seed)
    if all(layer.values.min() > 0 for layer in measured):
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
    """Draw the images with the lowest variance above those with the highest, as in the paper.

    Args:
        title: title of the sheet.
        low: pixels (H, W, C) uint8, category and variance, the lowest first.
        high: the same, the highest first.
    """
    columns = max(len(low), len(high), 1)
    figure = Figure(figsize=(SIDE * columns, 2 * (SIDE + 0.45) + 0.3), layout="constrained")
    figure.suptitle(title, fontsize=9)
    grid = figure.subplots(2, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for line, (name, images) in enumerate((("lowest", low), ("highest", high))):
        for axes, (pixels, category, value) in zip(grid[line], images, strict=False):
            axes.imshow(_small(pixels))
            axes.set_title(f"{short(category, 14)}\n{value:.3g}", fontsize=7, loc="center")
        grid[line][0].text(
            -0.08, 0.5, name, transform=grid[line][0].transAxes, rotation=90, va="center",
            ha="right", fontsize=8,
        )  # fmt: skip
    return figure


def _small(pixels: np.ndarray) -> Image.Image:
    """A color picture of at most `PIXELS` per side."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    image.thumbnail((PIXELS, PIXELS))
    return image


def save_figures(figures: dict[str, Figure], folder: Path) -> list[Path]:
    """Save figures with `save_plots`, under safe file names."""
    safe = {re.sub(r"[^\w.-]+", "_", name).strip("_"): figure for name, figure in figures.items()}
    return save_plots(safe, folder)
