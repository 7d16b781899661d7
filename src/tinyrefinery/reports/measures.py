"""Tables of everything that was measured of a run's networks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinyrefinery.errors import DataError
from tinyrefinery.pages.cell_text import escape
from tinyrefinery.pages.narrow_tables import FittedTable
from tinyrefinery.pages.numbers import kilo
from tinyrefinery.runs.run_folder import TrainedStage

Measured = Mapping[str, Mapping[str, Any]]
"""Stage key -> content of evaluation.json."""

MEASURES = {"top1": 100, "top5": 100, "nll": 1, "ece": 100}
"""Measure -> what it is multiplied with for the table."""
FEW = range(1, 6)
"""Numbers of classes for which top-5 is not shown."""
MOST_CATEGORIES = 20


def measure_table(stages: Sequence[TrainedStage], measured: Measured, split: str) -> FittedTable:
    """One line per stage and seed: accuracy and its interval, calibration, cost; fits 80 columns.

    Raises:
        DataError: when no stage was measured on this split.
    """
    table = FittedTable(
        f"{split} split; percent but for NLL (nats); 95 %: Wilson interval over images"
    )
    table.add_text("stage", 12)
    # With five classes or fewer, one of the best five is always right.
    classes = max((len(measured[s.key].get("per_category", ())) for s in stages), default=0)
    shown = {
        name: scale for name, scale in MEASURES.items() if name != "top5" or classes not in FEW
    }
    best = ("top-5",) if "top5" in shown else ()
    table.add_numbers("seed", "n", "top-1", "95 %", *best, "NLL", "ECE", "params", "MACs")
    for stage in stages:
        found = measured[stage.key].get(split)
        if found is None:
            continue
        low, high = found["top1_interval"]
        cells = [f"{found[name] * scale:.2f}" for name, scale in shown.items()]
        cost = measured[stage.key].get("cost") or {}
        table.add_row(
            escape(f"{stage.row} {stage.stage}".strip()),
            str(stage.seed),
            str(found["n"]),
            cells[0],
            f"{low * 100:.1f}-{high * 100:.1f}",
            *cells[1:],
            *(kilo(cost.get(name)) for name in ("parameters", "macs")),
        )
    if not table.rows:
        raise DataError(f"no stage was measured on the split '{split}'")
    return table


def category_table(stages: Sequence[TrainedStage], measured: Measured) -> FittedTable:
    """Training and validation accuracy of each category, mean over seeds, the worst first."""
    names = list(dict.fromkeys(stage.stage for stage in stages))
    lists: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for stage in stages:
        for entry in measured[stage.key].get("per_category", ()):
            pair = (entry["train_top1"], entry["validation_top1"])
            if None not in pair:
                lists.setdefault((entry["category"], stage.stage), []).append(pair)
    means = {place: np.mean(pairs, axis=0) for place, pairs in lists.items()}
    table = FittedTable("train / validation top-1 in percent, mean over seeds")
    table.add_text("category")
    table.add_numbers(*names)
    categories = sorted(
        {category for category, _ in means},
        key=lambda c: np.mean([means[c, name][1] for name in names if (c, name) in means]),
    )
    for category in categories[:MOST_CATEGORIES]:
        pairs = [means.get((category, name)) for name in names]
        cells = ["" if p is None else f"{p[0] * 100:.0f} / {p[1] * 100:.0f}" for p in pairs]
        table.add_row(escape(category), *cells)
    if len(categories) > MOST_CATEGORIES:
        table.add_row(f"({len(categories) - MOST_CATEGORIES} better ones)")
    return table
