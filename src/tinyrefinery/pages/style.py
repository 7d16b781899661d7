"""Shared style of plots and pages: colors, settings, saved figures."""

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from tinyrefinery.files import atomic_file

INK, MUTED, GRID = "#1b1d21", "#6a707a", "#e3e5e9"
PLAIN, REFINED = "#8b919c", "#1f62d6"
STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GRID,
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",  # text stays text: searchable, and in the page's font
    "text.color": INK,
    "text.parse_math": False,  # a class or stage may have $ in its name
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


def short(text: str, length: int = 26) -> str:
    """Shorten a name to fit next to a plot."""
    return text if len(text) <= length else text[: length - 1] + "…"


def save_plots(figures: dict[str, Figure], folder: Path) -> list[Path]:
    """Write each figure as SVG and as PNG, on white for documents, and return the paths."""
    paths = []
    for title, figure in figures.items():
        for kind in ("svg", "png"):
            path = folder / f"{title}.{kind}"
            undated = {"Date": None} if kind == "svg" else None  # same data, same file
            with rc_context({**STYLE, "svg.hashsalt": title}), atomic_file(path) as temporary:
                figure.savefig(temporary, format=kind, dpi=160, facecolor="white", metadata=undated)
            paths.append(path)
    return paths
