"""The rows of a table: what the paper prints, what was measured here, and the gains of both."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from tinyrefinery.files import write_csv
from tinyrefinery.pages.run_tables import StageGroup, Value, held_out_split
from tinyrefinery.runs.folder import Run
from tinyrefinery.statistics.paired import Gain, Spread, paired_gain

COLUMNS = (
    *("row", "stage", "model", "labels", "paper_top1", "paper_top5", "top1", "top1_std", "top5"),
    *("n", "difference", "baseline", "paper_gain", "gain", "gain_low", "gain_high", "gain_n"),
)
"""Of table.csv."""


@dataclass(frozen=True)
class TableLine:
    """One row of a table. Accuracies are shares of the held-out images, in [0, 1]."""

    row: str
    stage: str
    """Id of the stage that fills the row."""
    group: StageGroup | None
    """That stage over its seeds; None when none has finished."""
    paper_top1: float | None
    paper_top5: float | None
    baseline: str | None
    """Id of the row that the gains are measured against."""
    paper_gain: float | None
    """Difference of the two rows' printed top-1."""
    gain: Gain | None
    """In held-out top-1, over the seeds that both rows have."""
    comparable: bool
    """Whether data and networks are the paper's: not at a scale, nor in a smoke run."""

    @property
    def top1(self) -> Spread | None:
        """Held-out top-1 over seeds."""
        return self.group.spread("held_out_top1") if self.group else None

    @property
    def difference(self) -> float | None:
        """Ours less the paper's, where they can be compared."""
        if self.top1 is None or self.paper_top1 is None or not self.comparable:
            return None
        return self.top1.mean - self.paper_top1


def table_lines(folder: Run) -> list[TableLine]:
    """The table's rows in its order, also those that have not run; none where there is no table."""
    if not folder.table:
        return []
    rows = {str(row["id"]): row for row in folder.table["rows"]}
    groups = {row: _group(folder, row) for row in rows}
    printed = {row: _printed(each, "top1") for row, each in rows.items()}
    lines = []
    for row, each in rows.items():
        base = each.get("baseline")
        ours, theirs = printed[row], printed.get(base)
        lines.append(
            TableLine(
                row=row,
                stage=str(each["stage"]),
                group=groups[row],
                paper_top1=printed[row],
                paper_top5=_printed(each, "top5"),
                baseline=base,
                paper_gain=None if ours is None or theirs is None else ours - theirs,
                gain=_gain(groups[row], groups.get(base)),
                comparable=not (folder.table["scale"] or folder.table["smoke"]),
            )
        )
    return lines


def _printed(row: dict, measure: str) -> float | None:
    value = (row.get("paper") or {}).get(measure)
    return None if value is None else float(value) / 100


def _group(folder: Run, row: str) -> StageGroup | None:
    """The finished networks that fill a row."""
    keys = set(folder.table.get("keys", {}).get(row, {}).values())
    runs = tuple(stage for stage in folder.stages if stage.key in keys)
    return StageGroup(runs, row, held_out_split(folder.stages)) if runs else None


def _gain(group: StageGroup | None, base: StageGroup | None) -> Gain | None:
    if group is None or base is None:
        return None
    before, after = base.values("held_out_top1"), group.values("held_out_top1")
    seeds = sorted(before.keys() & after.keys())
    return paired_gain([before[s] for s in seeds], [after[s] for s in seeds]) if seeds else None


def order_kept(lines: Sequence[TableLine]) -> tuple[int, int]:
    """(pairs of rows that stand in the paper's order by our means, pairs that can be compared).

    A pair is compared when both rows have a printed and a measured top-1, and the printed ones
    differ.
    """
    known = [(each.paper_top1, each.top1.mean) for each in lines if each.paper_top1 and each.top1]
    pairs = [(a, b) for a, b in combinations(known, 2) if a[0] != b[0]]
    return sum((a[0] < b[0]) == (a[1] < b[1]) and a[1] != b[1] for a, b in pairs), len(pairs)


def write_table(folder: Run) -> Path | None:
    """Write table.csv into the run folder, accuracies and differences in percent, every digit.

    Returns:
        Its path; None where the run is of no table.
    """
    if not folder.table:
        return None
    write_csv(folder.path / "table.csv", COLUMNS, map(_csv_line, table_lines(folder)))
    return folder.path / "table.csv"


def _csv_line(line: TableLine) -> dict[str, Value]:
    first = line.group.first if line.group else None
    gain, top1 = line.gain, line.top1
    top5 = line.group.spread("test_top5") if line.group else None
    values: tuple[Value, ...] = (
        *(line.row, line.stage, first and first.model, first and first.labels),
        *(_percent(line.paper_top1), _percent(line.paper_top5)),
        *(_percent(top1 and top1.mean), _percent(top1 and top1.std), _percent(top5 and top5.mean)),
        *(top1.n if top1 else 0, _percent(line.difference), line.baseline),
        *(_percent(line.paper_gain), _percent(gain and gain.mean)),
        *(_percent(gain and gain.low), _percent(gain and gain.high), gain.n if gain else None),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _percent(share: float | None) -> float | None:
    """In percent, without the noise of the multiplication."""
    return None if share is None else round(100 * share, 10)
