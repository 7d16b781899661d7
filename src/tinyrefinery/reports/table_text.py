"""A table beside the paper's, in words: on the terminal, and as cells and notes for the page."""

from collections.abc import Mapping, Sequence
from typing import Any

from tinyrefinery.pages.cell_text import escape
from tinyrefinery.pages.narrow_tables import FittedTable
from tinyrefinery.pages.numbers import NOTHING, gain_points, percent, signed
from tinyrefinery.pages.run_tables import shown_model
from tinyrefinery.reports.table_lines import TableLine, order_kept
from tinyrefinery.runs.run_folder import Run


def columns(lines: Sequence[TableLine]) -> list[str]:
    """Titles of the columns behind the row's: those of the paper only where it prints something."""
    printed = any(line.paper is not None for line in lines)
    gains = any(line.baseline for line in lines)
    paper = ["paper"] if printed else []
    difference = ["difference"] if printed and any(line.comparable for line in lines) else []
    boxes = ["COCO AP", "median boxes"] if lines[0].metric.name == "map11" else []
    gain = [*(["paper's gain"] if printed else []), "our gain"] if gains else []
    return [*paper, "ours", *difference, *boxes, *gain, "n"]


def cells(line: TableLine, titles: Sequence[str]) -> list[str]:
    """The texts of a row under these titles."""
    paper, gain = line.paper, line.paper_gain
    known = {
        "paper": NOTHING if paper is None else f"{100 * paper:.4g}",
        "ours": percent(line.ours),
        "difference": NOTHING if line.difference is None else signed(line.difference),
        "COCO AP": percent(line.spread("coco", "ap")),
        "median boxes": percent(line.spread("blind_map11")),
        "paper's gain": NOTHING if gain is None else f"{100 * gain:+.4g}".replace("-", "−"),
        "our gain": gain_points(line.gain),
        "n": str(len(line.group.runs) if line.group else 0),
    }
    return [known[title] for title in titles]


def network(line: TableLine, lines: Sequence[TableLine]) -> str:
    """The network of a row, and the row its gain is over where rows have different ones."""
    model = shown_model(line.group.first.model) if line.group else "not run"
    several = len({other.baseline for other in lines if other.baseline}) > 1
    return f"{model}; gain over {line.baseline}" if several and line.baseline else model


def title(folder: Run) -> str:
    """The table's title, with its scale."""
    scale = folder.table["scale"]
    return f"{folder.table['title']}{f', at scale {scale}' if scale else ''}"


def notes(folder: Run, lines: Sequence[TableLine]) -> list[str]:
    """Notes that a reader of the table needs."""
    table, paper = folder.table, folder.table["paper"] or {}
    held_out = next((line.group.held_out for line in lines if line.group), "held-out")
    baselines = {line.baseline for line in lines if line.baseline}
    metric = lines[0].metric
    texts = [
        f"{metric.title} in percent of the {held_out} images; mean ± standard deviation over n "
        "seeds."
    ]
    if metric.name == "map11":
        texts.append("Median boxes: a control that gives each class's median box for every image.")
    if baselines:
        over = f" over row '{baselines.pop()}'" if len(baselines) == 1 else ""
        texts.append(f"Gain{over} in points, paired by seed, with its 95 % interval.")
    if paper:
        number = f"arXiv {paper['arxiv']}, " if paper.get("arxiv") else ""
        texts.append(f"Paper: {number}{paper['where']}.")
    if table["smoke"]:
        texts.append("Smoke: tiny data and one epoch, so that the numbers mean nothing.")
    elif table["scale"]:
        texts.append(
            f"Data and networks are not the paper's ({table['recipe']}): compare the order of the "
            "rows and the gains, not the accuracies."
        )
    kept, pairs = order_kept(lines)
    if pairs and not table["smoke"]:
        texts.append(f"Order: {kept} of {pairs} pairs of rows stand as in the paper, by the means.")
    texts += [f"Left out: {row}: {reason}" for row, reason in table["without"].items()]
    # Runs from before this key have none.
    if printed := table.get("literature", []):
        texts.append(f"Printed only, not measured here: {'; '.join(map(_printed, printed))}.")
    return texts


def _printed(row: Mapping[str, Any]) -> str:
    """A row of the paper that nothing was trained for, e.g. `MUXNet-s top-1 71.6, top-5 90.3`."""
    names = {"top1": "top-1", "top5": "top-5", "map": "mAP"}
    values = ", ".join(f"{names[name]} {value:.4g}" for name, value in row["paper"].items())
    return f"{row['network']} {values}"


def terminal_lines(lines: Sequence[TableLine]) -> FittedTable:
    """The table that the command line prints; it fits into 80 columns."""
    titles = columns(lines)
    table = FittedTable()
    table.add_text("row", 9)
    table.add_numbers(*(name.replace(" ", "\n", 1) for name in titles))
    for line in lines:
        row, what = escape(line.row), escape(network(line, lines))
        table.add_row(f"{row}\n[dim]{what}[/dim]", *cells(line, titles))
    return table
