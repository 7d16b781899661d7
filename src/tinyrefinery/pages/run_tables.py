"""Tables from run folders: one line a stage and seed, and one line a stage over its seeds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from tinyrefinery.errors import DataError
from tinyrefinery.files import write_csv
from tinyrefinery.names import did_you_mean
from tinyrefinery.pages.numbers import gain_points, nats, percent
from tinyrefinery.runs.folder import Run, TrainedStage
from tinyrefinery.statistics.paired import Gain, Spread, paired_gain, spread

Value = str | int | float | None

COLUMNS = (
    *("run", "row", "stage", "seed", "model", "labels", "parameters", "macs", "epochs"),
    *("train_top1", "validation_top1", "test_top1", "test_top5", "gap", "nll", "ece"),
    *("label_kl", "label_tv", "seconds", "stage_key"),
)


def held_out_split(stages: Iterable[TrainedStage]) -> str:
    """The split that held-out numbers are from: test where every stage has it, else validation."""
    return "test" if all("test" in stage.evaluation for stage in stages) else "validation"


def results_row(stage: TrainedStage, held_out: str) -> dict[str, Value]:
    """The line of results.csv for one stage and seed, by column.

    Accuracies and ece are in [0, 1]; nll and label_kl in nats. nll, ece and gap (training minus
    held-out top-1) are those of the `held_out` split. What was not measured is None.
    """
    found = stage.evaluation
    splits = {name: found.get(name, {}) for name in ("train", "validation", "test")}
    quality, cost = found.get("label_quality") or {}, found.get("cost") or {}
    train, held = splits["train"].get("top1"), splits[held_out].get("top1")
    seconds = [each["seconds"] for each in stage.metrics if each.get("seconds") is not None]
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
    """Write results.csv into the run folder and return its path; floats keep every digit."""
    held_out = held_out_split(folder.stages)
    rows = (results_row(stage, held_out) for stage in folder.stages)
    write_csv(folder.path / "results.csv", COLUMNS, rows)
    return folder.path / "results.csv"


@dataclass(frozen=True)
class StageGroup:
    """A stage over its seeds."""

    runs: tuple[TrainedStage, ...]
    """At least one, each with another seed."""
    name: str
    """Title, preceded by row and run where they tell it from others."""
    held_out: str
    """The split that held-out numbers are from."""

    @property
    def first(self) -> TrainedStage:
        """Any of the runs; what doesn't depend on the seed is the same in all."""
        return self.runs[0]

    @property
    def generation(self) -> int:
        """See `TrainedStage.generation`; the latest, should seeds differ."""
        return max(run.generation for run in self.runs)

    @property
    def refined(self) -> bool:
        """Whether it learned from labels made by other stages."""
        return any(run.refiners for run in self.runs)

    def values(self, measure: str) -> dict[int, float]:
        """A measure by seed, where it was measured: a column of results.csv or held_out_top1."""
        column = f"{self.held_out}_top1" if measure == "held_out_top1" else measure
        rows = {run.seed: results_row(run, self.held_out)[column] for run in self.runs}
        return {seed: float(value) for seed, value in rows.items() if value is not None}

    def spread(self, measure: str) -> Spread | None:
        """Mean, sample standard deviation and n over seeds; None where nothing was measured."""
        values = list(self.values(measure).values())
        return spread(values) if values else None


@dataclass(frozen=True)
class Comparison:
    """A stage beside its baseline."""

    group: StageGroup
    baseline: StageGroup
    gain: Gain
    """In held-out top-1, over the seeds that both have."""


def group_stages(folders: Sequence[Run]) -> list[StageGroup]:
    """Groups by (run, row, stage) in recipe order.

    Raises:
        DataError: when no run has a finished stage.
    """
    stages = [stage for folder in folders for stage in folder.stages]
    if not stages:
        names = ", ".join(str(folder.path) for folder in folders)
        raise DataError(f"{names}: no stage has finished yet, so there is nothing to report")
    held_out = held_out_split(stages)
    lone = len({stage.run for stage in stages}) == 1
    found: dict[tuple[str, tuple[str, ...], str], list[TrainedStage]] = {}
    for stage in stages:
        found.setdefault((stage.run, stage.rows, stage.stage), []).append(stage)
    return [StageGroup(tuple(runs), _name(runs[0], lone), held_out) for runs in found.values()]


def _name(stage: TrainedStage, lone: bool) -> str:
    """How tables and plots call a stage; `lone`: there is only one run."""
    return " ".join(part for part in ("" if lone else stage.run, stage.row, stage.title) if part)


def find_baseline(
    group: StageGroup, groups: Sequence[StageGroup], name: str | None = None
) -> StageGroup | None:
    """The stage that a stage's gain is measured against, from the same run.

    One of the same row is preferred, then one that shares a row with it.

    With `name`, the stage of that id. Without, the same model without a refiner, ground truth
    preferred; a stage that is itself such a baseline has none.
    """
    near = [
        each
        for each in groups
        if each.first.run == group.first.run
        and (
            each.first.stage == name
            if name is not None
            else each.first.model == group.first.model and not each.refined
        )
    ]
    best = min(
        near,
        key=lambda each: (
            each.first.rows != group.first.rows,
            not set(each.first.rows) & set(group.first.rows),
            "ground truth" not in each.first.labels.lower(),
        ),
        default=None,
    )
    return None if best is group else best


def comparisons(groups: Sequence[StageGroup], baseline: str | None = None) -> list[Comparison]:
    """Gains of stages over their baselines, paired by seed; without common seeds there is none.

    Raises:
        DataError: when no stage has the id `baseline`.
    """
    known = {group.first.stage for group in groups}
    if baseline is not None and baseline not in known:
        raise DataError(
            f"baseline '{baseline}': no such stage.{did_you_mean(baseline, known)} "
            f"Finished: {', '.join(sorted(known))}."
        )
    found = []
    for group in groups:
        base = find_baseline(group, groups, baseline)
        if base is None:
            continue
        before, after = base.values("held_out_top1"), group.values("held_out_top1")
        seeds = sorted(before.keys() & after.keys())
        if seeds:
            gain = paired_gain([before[s] for s in seeds], [after[s] for s in seeds])
            found.append(Comparison(group, base, gain))
    return found


def terminal_table(groups: Sequence[StageGroup]) -> Table:
    """The table that the command line prints; it fits into 80 columns."""
    held_out = groups[0].held_out
    table = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        caption=f"percent, mean ± standard deviation over n seeds; gap: train - {held_out}",
        caption_justify="left",
    )
    for title in ("network", "labels from"):
        table.add_column(title, overflow="fold", min_width=9)
    for title in ("train top-1", f"{held_out} top-1", "gap", "label KL", "n"):
        table.add_column(title.replace(" ", "\n", 1), justify="right", no_wrap=True)
    for group in groups:
        table.add_row(*_cells(group))
    return table


def _cells(group: StageGroup) -> list[str]:
    """One line of the terminal's table; brackets are escaped, rich would read them as markup."""
    name, model, labels = map(escape, (group.name, group.first.model, group.first.labels))
    return [
        f"{name}\n[dim]{model}[/dim]",
        labels,
        percent(group.spread("train_top1")),
        percent(group.spread("held_out_top1")),
        percent(group.spread("gap")),
        nats(group.spread("label_kl")),
        str(len(group.runs)),
    ]


def gain_line(each: Comparison) -> str:
    """A gain in one line, e.g. "refined over compact: +4.0 points [+2.5, +5.5], n = 3: gain"."""
    text = gain_points(each.gain).replace(" ", " points ", 1)
    points = text if " points " in text else f"{text} points"
    verdict = {"one seed": "one seed shows nothing"}.get(each.gain.verdict, each.gain.verdict)
    return f"{each.group.name} over {each.baseline.name}: {points}, n = {each.gain.n}: {verdict}"
