"""Which networks of a run are meant: the one rule for row, stage and seed.

A run holds one network per row of its table, stage and seed. Whatever is not named is settled like
this, in every command and in Python:

- row: all rows. A stage that several rows share is one network. Where different rows have networks
  of the same stage, one network can't be chosen for you, and the error lists the rows.
- stage: the last one of the recipe where one network is wanted, else all.
- seed: the lowest. Commands that summarize a run (`evaluate`, `variance`, `label-quality`) take
  all seeds.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tinyrefinery.errors import ChoiceError, DataError, did_you_mean
from tinyrefinery.runs.run_folder import Run, TrainedStage, last_stage

Seeds = Collection[int] | Literal["lowest", "all"]


@dataclass(frozen=True)
class Choice:
    """What was named of a run; None: not named."""

    stage: str | None = None
    seed: int | None = None
    row: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was named."""
        return self == Choice()


def choose_one(run: Run, choice: Choice) -> TrainedStage:
    """The network of a run that a choice means.

    Raises:
        DataError: when the run has no finished stage.
        ChoiceError: when there is no such row, stage or seed, or rows of a table differ in it.
    """
    stages = _of_rows(run, [choice.row] if choice.row is not None else [])
    # Without a name the last stage counts: it is what the recipe works toward.
    name = last_stage(stages) if choice.stage is None else choice.stage
    stages = _of_stages(run.path, stages, [name])
    seeds = sorted({stage.seed for stage in stages})
    seed = seeds[0] if choice.seed is None else choice.seed
    if seed not in seeds:
        raise ChoiceError(f"{run.path}: stage '{name}' has no seed {seed}. Seeds: {_list(seeds)}")
    left = [stage for stage in stages if stage.seed == seed]
    if len(left) > 1:
        rows = [stage.row or "(shared)" for stage in left]
        raise ChoiceError(
            f"{run.path}: stage '{name}' is another network in each of the rows {_list(rows)}. "
            "Name one with --row ROW, or give its folder, "
            f"e.g. {left[0].folder}"
        )
    return left[0]


def check_choice(stage: TrainedStage, choice: Choice) -> None:
    """Check that a stage that was named by its folder is the one that is chosen.

    Raises:
        ChoiceError: when it has another id, seed or row.
    """
    for name, wanted, there in (
        ("stage", choice.stage, (stage.stage,)),
        ("seed", choice.seed, (stage.seed,)),
        ("row", choice.row, stage.rows),
    ):
        if wanted is not None and wanted not in there:
            raise ChoiceError(
                f"{stage.folder}: its {name} is {_list(there)}, not {wanted}. Leave out --{name}, "
                f"or give the run folder {stage.run_folder}"
            )


def choose_many(
    run: Run, stages: Iterable[str] = (), seeds: Seeds = "lowest", rows: Iterable[str] = ()
) -> list[TrainedStage]:
    """The networks of a run that are meant, in the run's order.

    Args:
        run: the run.
        stages: ids; empty: all stages.
        seeds: the lowest seed of each stage and row, all, or these.
        rows: of a table; empty: all rows.

    Raises:
        DataError: when the run has no finished stage.
        ChoiceError: when there is no such row or stage, or no network is left.
    """
    named = _of_stages(run.path, _of_rows(run, list(rows)), list(stages))
    chosen = []
    for stage in named:
        peers = [s.seed for s in named if (s.rows, s.stage) == (stage.rows, stage.stage)]
        if seeds == "all" or stage.seed in ((min(peers),) if seeds == "lowest" else seeds):
            chosen.append(stage)
    if not chosen:
        there = sorted({stage.seed for stage in named})
        raise ChoiceError(f"{run.path}: no network has such a seed. Seeds: {_list(there)}")
    return chosen


def _of_rows(run: Run, rows: Sequence[str]) -> list[TrainedStage]:
    if not run.stages:
        raise DataError(f"{run.path}: no stage of this run is finished. Let the run end first")
    known = sorted({row for stage in run.stages for row in stage.rows})
    _check("row", rows, known, run.path)
    return [stage for stage in run.stages if not rows or set(rows) & set(stage.rows)]


def _of_stages(
    path: Path, stages: Sequence[TrainedStage], names: Sequence[str]
) -> list[TrainedStage]:
    _check("finished stage", names, list(dict.fromkeys(stage.stage for stage in stages)), path)
    return [stage for stage in stages if not names or stage.stage in names]


def _check(kind: str, names: Sequence[str], known: Sequence[str], path: Path) -> None:
    for name in names:
        if name not in known:
            raise ChoiceError(
                f"{path}: no {kind} '{name}'.{did_you_mean(name, known)} There are: {_list(known)}"
            )


def _list(values: Iterable[object]) -> str:
    return ", ".join(map(str, values)) or "none"
