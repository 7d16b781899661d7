"""Tables of everything that was measured of a run's detectors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyrefinery.errors import DataError
from tinyrefinery.files import write_csv
from tinyrefinery.pages.cell_text import escape
from tinyrefinery.pages.narrow_tables import FittedTable
from tinyrefinery.pages.numbers import kilo
from tinyrefinery.pages.run_tables import shown_model
from tinyrefinery.runs import files
from tinyrefinery.runs.run_folder import Run, TrainedStage

Measured = Mapping[str, Mapping[str, Any]]
"""Stage key -> content of evaluation.json."""

SPLITS = ("train", "validation", "test")
VOC = ("map11", "blind_map11", "map_area")
COCO = ("ap", "ap50", "ap75")


def detector_table(stages: Sequence[TrainedStage], measured: Measured, split: str) -> FittedTable:
    """One line per detector: average precisions in percent, and cost.

    Raises:
        DataError: when a detector was not measured on this split.
    """
    _check_split(stages, measured, split)
    first = measured[stages[0].key][split]
    title = f"{split}: {first['images']} images, {first['objects']} objects, in percent."
    table = FittedTable(title)
    table.add_text("detector")
    points = ("mAP\n11 points", "of median\nboxes", "mAP\narea")
    table.add_numbers("seed", *points, "COCO\nAP", "AP50", "AP75", "params", "MACs")
    for stage in stages:
        measures, cost = measured[stage.key][split], measured[stage.key]["cost"]
        voc = [_percent(measures[name]) for name in VOC]
        coco = [_percent(measures["coco"][name]) for name in COCO]
        sizes = [kilo(cost[name]) for name in ("parameters", "macs")]
        table.add_row(
            escape(stage.row or shown_model(stage.model)), str(stage.seed), *voc, *coco, *sizes
        )
    return table


def class_table(stages: Sequence[TrainedStage], measured: Measured, split: str) -> FittedTable:
    """One line per class: objects, and precision and recall in percent, means over detectors."""
    table = FittedTable("Each class, mean over the detectors, in percent.")
    table.add_text("class")
    table.add_numbers("objects", "AP\n11 points", "AP\narea", "recall")
    by_detector = [measured[stage.key][split]["classes"] for stage in stages]
    for name, first in by_detector[0].items():
        means = [
            float(np.mean([classes[name][measure] for classes in by_detector]))
            for measure in ("ap11", "ap_area", "recall")
        ]
        table.add_row(escape(name), str(first["objects"]), *map(_percent, means))
    return table


def _check_split(stages: Sequence[TrainedStage], measured: Measured, split: str) -> None:
    for stage in stages:
        known = [name for name in SPLITS if name in measured[stage.key]]
        if split not in known:
            raise DataError(f"the run has no {split} images; it has: {', '.join(known)}")


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def write_detector_results(run: Run) -> Path:
    """Write results.csv into the run folder, one line per detector and split; every digit."""
    lines = [
        _line(stage, split) for stage in run.stages for split in SPLITS if split in stage.evaluation
    ]
    columns = list(dict.fromkeys(name for line in lines for name in line))
    write_csv(run.path / files.RESULTS, columns, lines)
    return run.path / files.RESULTS


def _line(stage: TrainedStage, split: str) -> dict[str, Any]:
    measures = stage.evaluation[split]
    names = {"run": stage.run, "row": stage.row, "model": stage.model, "seed": stage.seed}
    numbers = ("images", "objects", "map11", "map_area", "blind_map11")
    return {
        **names,
        "split": split,
        **{name: measures[name] for name in numbers},
        **{f"coco_{name}": value for name, value in measures["coco"].items()},
        **{f"ap11_{name}": one["ap11"] for name, one in measures["classes"].items()},
        **stage.evaluation["cost"],
        "stage_key": stage.key,
    }
