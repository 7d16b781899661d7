"""Reading the CSV files in docs/results/, and writing Markdown tables."""

import csv
from pathlib import Path

import numpy as np

from tinyrefinery.pages.numbers import gain_points
from tinyrefinery.statistics.paired import paired_gain

ROOT = Path(__file__).parents[2]
Rows = list[dict[str, str]]
NOT_RUN = "Not measured yet."


def load(name: str) -> Rows:
    """Lines of docs/results/NAME.csv."""
    with (ROOT / "docs" / "results" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def load_or_none(name: str) -> Rows | None:
    """Lines of docs/results/NAME.csv; None if it has not been run."""
    there = (ROOT / "docs" / "results" / f"{name}.csv").exists()
    return load(name) if there else None


def of_row(line: dict[str, str], row: str) -> bool:
    """Whether a line belongs to a row; a stage that rows share lists all of them, or none."""
    return not line["row"] or row in line["row"].split(" + ")


def values(rows: Rows, row: str, stage: str, column: str) -> dict[int, float]:
    """A column by seed."""
    found = [r for r in rows if r["stage"] == stage and of_row(r, row)]
    return {int(r["seed"]): float(r[column]) for r in found if r[column]}


def gain(rows: Rows, row: str, stage: str, base: str = "plain", base_row: str | None = None) -> str:
    """Gain in test top-1, paired by seed, with its 95 % interval."""
    before = values(rows, row if base_row is None else base_row, base, "test_top1")
    after = values(rows, row, stage, "test_top1")
    seeds = sorted(before.keys() & after.keys())
    if not seeds:
        return "not run"
    return gain_points(paired_gain([before[s] for s in seeds], [after[s] for s in seeds]))


def mean_std(values: list[float]) -> str:
    """Mean ± sample standard deviation; only the mean for a single value."""
    if len(values) < 2:
        return f"{np.mean(values):.3f}"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def markdown(lines: list[list[str]]) -> str:
    """A Markdown table; the first line is its head."""
    rule = ["---"] * len(lines[0])
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]])
