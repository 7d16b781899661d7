"""The rows of a table: what the paper prints, what was measured here, and the gains of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from tinyrefinery.files import write_csv
from tinyrefinery.pages.run_tables import StageGroup, Value, held_out_split
from tinyrefinery.runs import files
from tinyrefinery.runs.run_folder import Run
from tinyrefinery.statistics.paired import Gain, Spread, paired_gain, spread


@dataclass(frozen=True)
class Metric:
    """The measure that fills a table, a share in [0, 1] of the held-out images."""

    name: str
    """In evaluation.json and table.csv."""
    title: str
    printed: tuple[str, ...]
    """What papers print, by its name in a table's file; the measure itself first."""
    further: Mapping[str, tuple[str, ...]]
    """Further columns of table.csv, and the names that lead to them in evaluation.json."""


METRICS = {
    "top1": Metric("top1", "Top-1", ("top1", "top5"), {"top5": ("top5",)}),
    "map": Metric(
        "map11",
        "Mean average precision, eleven points,",
        ("map",),
        {"coco_ap": ("coco", "ap"), "of_median_boxes": ("blind_map11",)},
    ),
}
"""By the `metric` of table.json."""


@dataclass(frozen=True)
class TableLine:
    """One row of a table. Measures are shares of the held-out images, in [0, 1]."""

    row: str
    stage: str
    """Id of the stage that fills the row."""
    metric: Metric
    group: StageGroup | None
    """That stage over its seeds; None when none has finished."""
    printed: Mapping[str, float]
    """What the paper prints, by its name in the table's file."""
    baseline: str | None
    """Id of the row that the gains are measured against."""
    paper_gain: float | None
    """Difference of what the paper prints for the two rows."""
    gain: Gain | None
    """In the metric, over the seeds that both rows have."""
    comparable: bool
    """Whether data and networks are the paper's: not at a scale, nor in a smoke run."""

    @property
    def paper(self) -> float | None:
        """What the paper prints of the metric."""
        return self.printed.get(self.metric.printed[0])

    @property
    def ours(self) -> Spread | None:
        """The metric over seeds."""
        return self.spread(self.metric.name)

    @property
    def difference(self) -> float | None:
        """Ours less the paper's, where they can be compared."""
        if self.ours is None or self.paper is None or not self.comparable:
            return None
        return self.ours.mean - self.paper

    def spread(self, *path: str) -> Spread | None:
        """A measure of the held-out images over seeds; None where nothing was measured.

        Args:
            path: names that lead to it in evaluation.json, from the split on.
        """
        values = list(held_out_values(self.group, *path).values())
        return spread(values) if values else None


def held_out_values(group: StageGroup | None, *path: str) -> dict[int, float]:
    """A measure of the held-out images by seed, where it was measured; see `TableLine.spread`."""
    by_seed: dict[int, float] = {}
    if group is None:
        return by_seed
    for run in group.runs:
        value: Any = run.evaluation.get(group.held_out)
        for name in path:
            value = value.get(name) if value else None
        if value is not None:
            by_seed[run.seed] = float(value)
    return by_seed


def table_lines(folder: Run) -> list[TableLine]:
    """The table's rows in its order, also those that have not run; none where there is no table."""
    if not folder.table:
        return []
    rows = {str(row["id"]): row for row in folder.table["rows"]}
    groups = {row: _group(folder, row) for row in rows}
    metric = METRICS[folder.table["metric"]]
    printed = {
        row: {name: value / 100 for name, value in (entry.get("paper") or {}).items()}
        for row, entry in rows.items()
    }
    lines = []
    for row, entry in rows.items():
        base = entry.get("baseline")
        ours, theirs = (printed.get(name, {}).get(metric.printed[0]) for name in (row, base))
        lines.append(
            TableLine(
                row=row,
                stage=str(entry["stage"]),
                metric=metric,
                group=groups[row],
                printed=printed[row],
                baseline=base,
                paper_gain=None if ours is None or theirs is None else ours - theirs,
                gain=_gain(groups[row], groups.get(base), metric),
                comparable=not (folder.table["scale"] or folder.table["smoke"]),
            )
        )
    return lines


def _group(folder: Run, row: str) -> StageGroup | None:
    """The finished networks that fill a row."""
    keys = set(folder.table.get("keys", {}).get(row, {}).values())
    runs = tuple(stage for stage in folder.stages if stage.key in keys)
    return StageGroup(runs, row, held_out_split(folder.stages)) if runs else None


def _gain(group: StageGroup | None, base: StageGroup | None, metric: Metric) -> Gain | None:
    before, after = (held_out_values(either, metric.name) for either in (base, group))
    seeds = sorted(before.keys() & after.keys())
    return paired_gain([before[s] for s in seeds], [after[s] for s in seeds]) if seeds else None


def order_kept(lines: Sequence[TableLine]) -> tuple[int, int]:
    """(pairs of rows in the paper's order by our means, pairs that can be compared).

    A pair is compared when both rows have a printed and a measured value, and the printed ones
    differ.
    """
    known = [(line.paper, line.ours.mean) for line in lines if line.paper and line.ours]
    pairs = [(a, b) for a, b in combinations(known, 2) if a[0] != b[0]]
    return sum((a[0] < b[0]) == (a[1] < b[1]) and a[1] != b[1] for a, b in pairs), len(pairs)


def write_table(folder: Run) -> Path | None:
    """Write table.csv into the run folder, shares and differences in percent, every digit.

    Returns:
        Its path; None where the run is of no table.
    """
    if not folder.table:
        return None
    rows = [_csv_line(line) for line in table_lines(folder)]
    write_csv(folder.path / files.TABLE_LINES, list(rows[0]), rows)
    return folder.path / files.TABLE_LINES


def _csv_line(line: TableLine) -> dict[str, Value]:
    first, metric, ours, gain = line.group and line.group.first, line.metric, line.ours, line.gain
    further = {name: line.spread(*path) for name, path in metric.further.items()}
    return {
        "row": line.row,
        "stage": line.stage,
        "model": first and first.model,
        "labels": first and first.labels,
        **{f"paper_{name}": _percent(line.printed.get(name)) for name in metric.printed},
        metric.name: _percent(ours and ours.mean),
        f"{metric.name}_std": _percent(ours and ours.std),
        **{name: _percent(value and value.mean) for name, value in further.items()},
        "n": ours.n if ours else 0,
        "difference": _percent(line.difference),
        "baseline": line.baseline,
        "paper_gain": _percent(line.paper_gain),
        "gain": _percent(gain and gain.mean),
        "gain_low": _percent(gain and gain.low),
        "gain_high": _percent(gain and gain.high),
        "gain_n": gain and gain.n,
    }


def _percent(share: float | None) -> float | None:
    """In percent, without the noise of the multiplication."""
    return None if share is None else round(100 * share, 10)
