"""Weights of Bias Loss for people: a table, a file, and the curve with what falls on it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from rich.markup import escape
from rich.table import Table

from tinyrefinery.files import write_csv
from tinyrefinery.pages.style import INK, MUTED, PLAIN, REFINED, STYLE, short

SCALED = np.linspace(0, 3, 301)
"""Scaled variances at which the curves are drawn; above 1 by the running minimum only."""
STYLES = ("-", "--", ":", "-.")
COLUMNS = ("network", "seed", "reading", "n", "mean", "std", "least", "greatest")


class Weighed(Protocol):
    """The weights of one network by one reading, as `variance_analysis.Weighed`."""

    @property
    def network(self) -> str:
        """Its name."""
        ...

    @property
    def seed(self) -> int | None:
        """Of its training."""
        ...

    @property
    def reading(self) -> str:
        """Name of the reading."""
        ...

    @property
    def values(self) -> np.ndarray:
        """(N,) weights."""
        ...


def _facts(each: Weighed) -> tuple[int, float, float, float, float]:
    values = each.values
    return len(values), values.mean(), values.std(ddof=1), values.min(), values.max()


def weights_table(weighed: Sequence[Weighed]) -> Table:
    """One line a network and reading: mean, standard deviation, least and greatest weight."""
    table = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        caption="weights of Bias Loss by its readings, in batches of 128",
        caption_justify="left",
    )
    table.add_column("network", overflow="fold", min_width=12)
    table.add_column("reading", overflow="fold")
    for title in ("n", "mean", "std", "least", "greatest"):
        table.add_column(title, justify="right", no_wrap=True)
    for each in weighed:
        n, *numbers = _facts(each)
        name = each.network if each.seed is None else f"{each.network}, seed {each.seed}"
        table.add_row(escape(name), each.reading, str(n), *(f"{v:.3f}" for v in numbers))
    return table


def write_weights(folder: Path, weighed: Sequence[Weighed]) -> None:
    """Write `weights.csv`, a line a network and reading."""
    rows = []
    for each in weighed:
        n, *numbers = _facts(each)
        rows.append([each.network, each.seed, each.reading, n, *(f"{v:.6g}" for v in numbers)])
    write_csv(folder / "weights.csv", COLUMNS, rows)


def weight_figure(weighed: Sequence[Weighed], alpha: float = 0.3, beta: float = 0.3) -> Figure:
    """The curve of the loss, and what falls on it.

    Left: the weight of a scaled variance, by both formulas, with the paper's clamp. Right: the
    share of images below each weight, of the first network, by each reading.
    """
    with rc_context(STYLE):
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
    first = weighed[0]
    own = [w for w in weighed if (w.network, w.seed) == (first.network, first.seed)]
    for number, each in enumerate(own):
        values = np.sort(each.values)
        share = 100 * np.arange(1, len(values) + 1) / len(values)
        style = STYLES[number % len(STYLES)]
        tint = REFINED if each.reading == "paper" else INK
        shares.step(values, share, where="post", c=tint, ls=style, label=each.reading)
    shares.set_xlabel(f"weight, {short(first.network)}")
    shares.set_ylabel("images below it, percent")
    shares.legend(frameon=False, fontsize=8)
    return figure
