"""Tables of runs: one line per stage and seed, or one line per stage over its seeds."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyrefinery.errors import DataError, did_you_mean
from tinyrefinery.files import write_csv
from tinyrefinery.pages.cell_text import escape
from tinyrefinery.pages.narrow_tables import FittedTable
from tinyrefinery.pages.numbers import gain_points, nats, percent
from tinyrefinery.pages.plain_table import plain_table
from tinyrefinery.runs import files
from tinyrefinery.runs.run_folder import Run, TrainedStage
from tinyrefinery.statistics.paired import Gain, Spread, paired_gain, spread

Value = str | int | float | None
_FOLDERS = re.compile(r"=[^=,()]*[/\\]")
"""The folders of a path among a network's options."""

COLUMNS = (
    *("run", "row", "stage", "seed", "model", "labels", "parameters", "macs", "epochs"),
    *("train_top1", "validation_top1", "test_top1", "test_top5", "gap", "nll", "ece"),
    *("label_kl", "label_tv", "seconds", "stage_key"),
)


def held_out_split(stages: Iterable[TrainedStage]) -> str:
    """The split of held-out numbers: test if every stage has it, else validation."""
    return "test" if all("test" in stage.evaluation for stage in stages) else "validation"


def results_row(stage: TrainedStage, held_out: str) -> dict[str, Value]:
    """The line of results.csv for one stage and seed, by column.

    Accuracies and ece are in [0, 1], nll and label_kl in nats. nll, ece and gap (training minus
    held-out top-1) are those of the `held_out` split. Missing measures are None.
    """
    measures = stage.evaluation
    splits = {name: measures.get(name, {}) for name in ("train", "validation", "test")}
    quality, cost = measures.get("label_quality") or {}, measures.get("cost") or {}
    train, held = splits["train"].get("top1"), splits[held_out].get("top1")
    seconds = [epoch["seconds"] for epoch in stage.metrics if epoch.get("seconds") is not None]
    values: tuple[Value, ...] = (
        *(stage.run, stage.row, stage.stage, stage.seed, stage.model, stage.labels),
        *(cost.get("parameters"), cost.get("macs"), len(stage.metrics)),
        *(train, splits["validation"].get("top1")),
        *(splits["test"].get("top1"), splits["test"].get("top5")),
        None if train is None or held is None else train - held,
        *(splits[held_out].get("nll"), splits[held_out].get("ece")),
        *(quality.get("kl"), quality.get("total_variation")),
        *(sum(seconds) if seconds else None, stage.key),
    )
    return dict(zip(COLUMNS, values, strict=True))


def write_results(folder: Run) -> Path:
    """Write results.csv into the run folder, with all digits, and return its path."""
    held_out = held_out_split(folder.stages)
    rows = (results_row(stage, held_out) for stage in folder.stages)
    write_csv(folder.path / files.RESULTS, COLUMNS, rows)
    return folder.path / files.RESULTS


@dataclass(frozen=True)
class StageGroup:
    """A stage over its seeds."""

    runs: tuple[TrainedStage, ...]
    """At least one, with different seeds."""
    name: str
    """Its id, with row and run if there are several."""
    held_out: str
    """The split of held-out numbers."""

    @property
    def first(self) -> TrainedStage:
        """One of the runs, for facts that don't depend on the seed."""
        return self.runs[0]

    @property
    def generation(self) -> int:
        """See `TrainedStage.generation`. The latest, if seeds differ."""
        return max(run.generation for run in self.runs)

    @property
    def refined(self) -> bool:
        """Whether it learned from labels of other stages."""
        return any(run.refiners for run in self.runs)

    def values(self, measure: str) -> dict[int, float]:
        """A measure by seed, a column of results.csv or held_out_top1. Missing ones are omitted."""
        column = f"{self.held_out}_top1" if measure == "held_out_top1" else measure
        rows = {run.seed: results_row(run, self.held_out)[column] for run in self.runs}
        return {seed: float(value) for seed, value in rows.items() if value is not None}

    def spread(self, measure: str) -> Spread | None:
        """Mean, sample standard deviation and n over seeds; None without the measure."""
        values = list(self.values(measure).values())
        return spread(values) if values else None


@dataclass(frozen=True)
class Comparison:
    """A stage and its baseline."""

    group: StageGroup
    baseline: StageGroup
    gain: Gain
    """Gain in held-out top-1, over their common seeds."""


def group_stages(folders: Sequence[Run]) -> list[StageGroup]:
    """Group stages by run, row and id, in recipe order.

    Raises:
        DataError: when no run has a finished stage.
    """
    stages = [stage for folder in folders for stage in folder.stages]
    if not stages:
        names = ", ".join(str(folder.path) for folder in folders)
        raise DataError(f"{names}: no stage has finished yet: train one with `tinyrefinery run`")
    held_out = held_out_split(stages)
    runs = _run_names({stage.run_folder: stage.run for stage in stages})
    groups: dict[tuple[Path, tuple[str, ...], str], list[TrainedStage]] = {}
    for stage in stages:
        groups.setdefault((stage.run_folder, stage.rows, stage.stage), []).append(stage)
    return [
        StageGroup(tuple(seeds), _name(seeds[0], runs[folder]), held_out)
        for (folder, _, _), seeds in groups.items()
    ]


def _run_names(names: Mapping[Path, str]) -> dict[Path, str]:
    """A name for each run folder: none where there is one, the path where names are the same."""
    if len(names) == 1:
        return dict.fromkeys(names, "")
    several = [*names.values()]
    return {
        folder: name if several.count(name) == 1 else str(folder) for folder, name in names.items()
    }


def _name(stage: TrainedStage, run: str) -> str:
    """A stage's name in tables and plots."""
    return " ".join(part for part in (run, stage.row, stage.stage) if part)


def find_baseline(
    group: StageGroup, groups: Sequence[StageGroup], name: str | None = None
) -> StageGroup | None:
    """Find the stage to compare a stage with, in the same run.

    With `name`, it is the stage with that id. Otherwise, it is a stage with the same model and
    without a refiner, preferably with ground truth labels. A stage that is itself such a baseline
    has none. A stage of the same row is preferred, then one that shares a row.
    """

    def is_candidate(other: StageGroup) -> bool:
        """Whether it has the given name, or by default the same network and given labels."""
        if name is not None:
            return other.first.stage == name
        return other.first.model == group.first.model and not other.refined

    best = min(
        (g for g in groups if _same_run(g, group) and is_candidate(g)),
        key=lambda other: (
            other.first.rows != group.first.rows,
            not set(other.first.rows) & set(group.first.rows),
            "ground truth" not in other.first.labels.lower(),
        ),
        default=None,
    )
    return None if best is group else best


def _same_run(group: StageGroup, other: StageGroup) -> bool:
    return group.first.run_folder == other.first.run_folder


def comparisons(groups: Sequence[StageGroup], baseline: str | None = None) -> list[Comparison]:
    """Measure the gains of stages over their baselines, paired by common seeds.

    Raises:
        DataError: when no stage has the id `baseline`.
    """
    names = {group.first.stage for group in groups}
    if baseline is not None and baseline not in names:
        raise DataError(
            f"baseline '{baseline}': no such stage.{did_you_mean(baseline, names)} "
            f"Finished: {', '.join(sorted(names))}."
        )
    result = []
    for group in groups:
        base = find_baseline(group, groups, baseline)
        if base is None:
            continue
        before, after = base.values("held_out_top1"), group.values("held_out_top1")
        seeds = sorted(before.keys() & after.keys())
        if seeds:
            gain = paired_gain([before[s] for s in seeds], [after[s] for s in seeds])
            result.append(Comparison(group, base, gain))
    return result


def terminal_table(groups: Sequence[StageGroup]) -> FittedTable:
    """The table for the terminal. It fits into 80 columns."""
    held_out = groups[0].held_out
    table = plain_table(
        {"network": 9, "labels from": 9},
        ("train\ntop-1", f"{held_out}\ntop-1", "gap", "label\nKL", "n"),
        f"Percent, mean ± standard deviation over n seeds. Gap: train - {held_out}.",
    )
    for group in groups:
        table.add_row(*_cells(group))
    return table


def shown_model(model: str) -> str:
    """A network's name and options for a table, in which a path is only the name of its file."""
    return _FOLDERS.sub("=", model)


def _cells(group: StageGroup) -> list[str]:
    """One line of the terminal's table. Brackets are escaped, as rich reads them as markup."""
    name, model, labels = map(
        escape, (group.name, shown_model(group.first.model), group.first.labels)
    )
    return [
        f"{name}\n[dim]{model}[/dim]",
        labels,
        percent(group.spread("train_top1")),
        percent(group.spread("held_out_top1")),
        percent(group.spread("gap")),
        nats(group.spread("label_kl")),
        str(len(group.runs)),
    ]


def gain_line(comparison: Comparison) -> str:
    """A gain in one line, e.g. "refined over compact: +4.0 points [+2.5, +5.5], n = 3: gain"."""
    gain = comparison.gain
    text = gain_points(gain).replace(" ", " points ", 1)
    points = text if " points " in text else f"{text} points"
    verdict = {"one seed": "one seed shows nothing"}.get(gain.verdict, gain.verdict)
    names = f"{comparison.group.name} over {comparison.baseline.name}"
    return f"{names}: {points}, n = {gain.n}: {verdict}"
