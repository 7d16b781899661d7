"""The rows of a table of detectors: trained, measured, and put beside the paper's numbers.

runs/NAME/
  table.json  table.csv
  rows/ROW/                 a detector's run folder each
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyrefinery.detection.look import Finished, finished, write_results
from tinyrefinery.detection.run import run_detection
from tinyrefinery.files import write_atomic, write_csv
from tinyrefinery.recipe.detection import DetectionRecipe
from tinyrefinery.recipe.table import Table
from tinyrefinery.statistics.paired import Gain, Spread, paired_gain, spread

COLUMNS = (
    *("row", "backbone", "split", "paper_map", "map11", "map11_std", "coco_ap", "of_median_boxes"),
    *("n", "baseline", "gain", "gain_low", "gain_high", "parameters", "macs", "seconds"),
)
"""Of table.csv; precisions and gains in percent."""


@dataclass(frozen=True)
class DetectorLine:
    """One row of a table of detectors; precisions are shares, in [0, 1]."""

    row: str
    backbone: str
    split: str
    """Whose images: test where there is one, else validation."""
    paper_map: float | None
    map11: Spread | None
    """Over seeds; None where nothing has finished."""
    coco_ap: Spread | None
    blind: float | None
    """Eleven points of each class's median box in every image."""
    baseline: str | None
    gain: Gain | None
    cost: Mapping[str, float]


def run_rows(
    jobs: Sequence[tuple[str, DetectionRecipe]],
    seeds: Sequence[int],
    folder: Path,
    *,
    start: Sequence[str] = (),
    say: Callable[[str], object] = lambda text: None,
) -> None:
    """Train and measure what isn't finished.

    Args:
        jobs: of `recipe.detection_table.detection_rows`.
        seeds: of each.
        folder: the table's.
        start: see `run_detection`.
        say: hears which row is next.

    Raises:
        RefineryError: for anything that the user can mend; what was made until then is kept.
    """
    for row, recipe in jobs:
        place = folder / "rows" / row
        for seed in seeds:
            say(f"row {row}, seed {seed}")
            run_detection(recipe.model_copy(update={"seed": seed}), place, start=start)
        write_results(place)


def detector_lines(table: Table, folder: Path, backbones: Mapping[str, str]) -> list[DetectorLine]:
    """The table's rows in its order, also those that have not run.

    Args:
        table: at its scale.
        folder: where `run_rows` put them.
        backbones: name of each row's.
    """
    done = {row.id: _finished(folder / "rows" / row.id) for row in table.rows}
    found = [each for row in done.values() for each in row]
    split = "test" if found and all("test" in each.evaluation for each in found) else "validation"
    lines = []
    for row in table.rows:
        runs, base = done[row.id], table.baseline_of(row)
        printed = row.paper.map if row.paper else None
        lines.append(
            DetectorLine(
                row=row.id,
                backbone=backbones[row.id],
                split=split,
                paper_map=None if printed is None else printed / 100,
                map11=_spread([each.evaluation[split]["map11"] for each in runs]),
                coco_ap=_spread([each.evaluation[split]["coco"].get("ap") for each in runs]),
                blind=runs[0].evaluation[split]["blind_map11"] if runs else None,
                baseline=base,
                gain=_gain(runs, done[base], split) if base else None,
                cost=runs[0].evaluation["cost"] if runs else {},
            )
        )
    return lines


def _finished(folder: Path) -> list[Finished]:
    return finished(folder) if any(folder.glob("detectors/*/done.json")) else []


def _spread(values: Sequence[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    return spread(known) if known else None


def _gain(runs: Sequence[Finished], base: Sequence[Finished], split: str) -> Gain | None:
    after = {each.seed: each.evaluation[split]["map11"] for each in runs}
    before = {each.seed: each.evaluation[split]["map11"] for each in base}
    seeds = sorted(after.keys() & before.keys())
    return paired_gain([before[s] for s in seeds], [after[s] for s in seeds]) if seeds else None


def write_table(
    table: Table, lines: Sequence[DetectorLine], folder: Path, scale: str | None, *, smoke: bool
) -> None:
    """Write table.json, what was run, and table.csv, a line a row."""
    facts = {"scale": scale, "smoke": smoke, **table.model_dump(mode="json")}
    write_atomic(folder / "table.json", json.dumps(facts, indent=1))
    write_csv(folder / "table.csv", COLUMNS, map(_cells, lines))


def _cells(line: DetectorLine) -> list[object]:
    """A row of table.csv."""
    gain, found = line.gain, line.map11
    return [
        *(line.row, line.backbone, line.split, _percent(line.paper_map)),
        *(_percent(found and found.mean), _percent(found and found.std)),
        *(_percent(line.coco_ap and line.coco_ap.mean), _percent(line.blind)),
        *(found.n if found else 0, line.baseline, _percent(gain and gain.mean)),
        *(_percent(gain and gain.low), _percent(gain and gain.high)),
        *(line.cost.get(name) for name in ("parameters", "macs", "seconds")),
    ]


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 10)
