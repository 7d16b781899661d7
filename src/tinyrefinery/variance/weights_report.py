"""Reporting weights of Bias Loss: a table, a file, and a plot."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from tinyrefinery.files import write_csv
from tinyrefinery.pages.cell_text import escape
from tinyrefinery.pages.narrow_tables import FittedTable
from tinyrefinery.pages.plain_table import plain_table
from tinyrefinery.pages.style import INK, MUTED, PLAIN, REFINED, STYLE, short

SCALED = np.linspace(0, 3, 301)
"""Scaled variances at which the curves are drawn. Only the running minimum goes above 1."""
STYLES = ("-", "--", ":", "-.")
COLUMNS = ("network", "seed", "reading", "n", "mean", "std", "least", "greatest")


class ImageWeights(Protocol):
    """Weights of images by one network and reading, see `measuring.ImageWeights`."""

    @property
    def network(self) -> str:
        """Name of the network."""
        ...

    @property
    def seed(self) -> int | None:
        """Seed of its training."""
        ...

    @property
    def reading(self) -> str:
        """Name of the reading."""
        ...

    @property
    def values(self) -> np.ndarray:
        """(N,) weights."""
        ...


def _facts(weights: ImageWeights) -> tuple[int, float, float, float, float]:
    values = weights.values
    return len(values), values.mean(), values.std(ddof=1), values.min(), values.max()


def weights_table(measured: Sequence[ImageWeights]) -> FittedTable:
    """One line per network and reading: mean, standard deviation, smallest and largest weight."""
    table = plain_table(
        {"network": 12, "reading": None},
        ("n", "mean", "std", "least", "greatest"),
        "Weights of Bias Loss by each reading, in batches of 128.",
    )
    for weights in measured:
        n, *numbers = _facts(weights)
        seed = "" if weights.seed is None else f", seed {weights.seed}"
        name = escape(f"{weights.network}{seed}")
        table.add_row(name, weights.reading, str(n), *(f"{v:.3f}" for v in numbers))
    return table


def write_weights(folder: Path, measured: Sequence[ImageWeights]) -> None:
    """Write `weights.csv`, one line per network and reading."""
    rows = []
    for weights in measured:
        n, *numbers = _facts(weights)
        facts = [weights.network, weights.seed, weights.reading, n]
        rows.append([*facts, *(f"{v:.6g}" for v in numbers)])
    write_csv(folder / "weights.csv", COLUMNS, rows)


@rc_context(STYLE)
def weight_figure(
    measured: Sequence[ImageWeights], alpha: float = 0.3, beta: float = 0.3
) -> Figure:
    """Plot the weight function, and the distribution of the weights.

    Left: the weight by scaled variance, by both formulas, with the paper's clamp. Right: the share
    of images below each weight, for the first network, by each reading.
    """
    figure = Figure(figsize=(8.5, 3.2), layout="constrained")
    curve, shares = figure.subplots(1, 2)
    curve.axhspan(0.5, 1.5, color=PLAIN, alpha=0.12, lw=0)
    curve.plot(SCALED, np.exp(alpha * SCALED) - beta, c=REFINED, label="paper: exp(.3 v) - .3")
    old = np.expm1(beta * SCALED) + alpha
    curve.plot(SCALED, old, c=INK, ls="--", label="checkpoints: exp(.3 v) - 1 + .3")
    curve.axvline(1, c=MUTED, lw=1, ls=":")
    curve.set_xlabel("scaled variance v; gray: the paper's clamp")
    curve.set_ylabel("weight")
    curve.legend(frameon=False, fontsize=8, loc="upper left")
    first = measured[0]
    of_first = [w for w in measured if (w.network, w.seed) == (first.network, first.seed)]
    for number, weights in enumerate(of_first):
        values = np.sort(weights.values)
        share = 100 * np.arange(1, len(values) + 1) / len(values)
        style = STYLES[number % len(STYLES)]
        tint = REFINED if weights.reading == "paper" else INK
        shares.step(values, share, where="post", c=tint, ls=style, label=weights.reading)
    shares.set_xlabel(f"weight, {short(first.network)}")
    shares.set_ylabel("images below it, percent")
    shares.legend(frameon=False, fontsize=8)
    return figure
