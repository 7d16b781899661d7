"""What a run trains: networks in order, with their keys, folders and what they depend on.

A plan follows from the recipes and from facts about their data. Making it reads no image and trains
nothing, so that one process, several, or a cluster can make and execute the same plan.

To execute it, train the steps of each job in their order, and skip those that are done. A step can
start once the steps that it needs are done, in this or another process. Jobs of different seeds
share no step (`shares`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tinyrefinery import builders
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.recipe.detection import STAGE, DetectionRecipe
from tinyrefinery.recipe.load import part_hash
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.stage import Stage
from tinyrefinery.runs import files
from tinyrefinery.runs.keys import detector_key, stage_keys
from tinyrefinery.runs.lineage import (
    architecture,
    backbone_origin,
    generation,
    needs,
    outside_networks,
    refiners_of,
)
from tinyrefinery.runs.stage_record import CLASSIFIER, DETECTOR, StageFacts

R = TypeVar("R", bound=Recipe | DetectionRecipe)


@dataclass(frozen=True)
class Job:
    """One recipe to run, and the row of the table that it fills; empty for a lone recipe."""

    recipe: Recipe
    row: str = ""


@dataclass(frozen=True)
class DetectorJob:
    """One detector to train: a recipe with its seed, and the row of a table that it fills."""

    recipe: DetectionRecipe
    row: str = ""


@dataclass(frozen=True, kw_only=True)
class Step(StageFacts):
    """One network to train, and where it is kept."""

    folder: Path
    fills: str = ""
    """The row of its job."""
    needs: tuple[str, ...] = ()
    """Ids of the stages of the same job whose networks it needs, near or far."""
    beside: str | None = None
    """Id of the stage of the same job that it trains in step with."""

    @property
    def title(self) -> str:
        """Row of its job, stage and seed, for messages."""
        return " ".join(filter(None, (self.fills, self.stage, f"(seed {self.seed})")))

    @property
    def network(self) -> Path:
        """File of the trained network."""
        return self.folder / files.NETWORK

    @property
    def is_done(self) -> bool:
        """Whether the network is trained, measured and kept."""
        return (self.folder / files.DONE).exists()


@dataclass(frozen=True)
class PlannedJob:
    """A job and its steps, each after those that it needs."""

    job: Job
    steps: tuple[Step, ...]

    def __getitem__(self, stage: str) -> Step:
        """The step of a stage, by its id."""
        return next(step for step in self.steps if step.stage == stage)


@dataclass(frozen=True)
class Plan:
    """What to train into a run folder."""

    folder: Path
    jobs: tuple[PlannedJob, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """The networks to train, each once, each after those that it needs."""
        steps: dict[str, Step] = {}
        for step in (step for job in self.jobs for step in job.steps):
            steps.setdefault(step.key, step)
        return tuple(steps.values())

    def shares(self) -> list[list[Job]]:
        """The jobs by seed. Jobs of two seeds share no network, so they can run anywhere apart."""
        by_seed: dict[int, list[Job]] = {}
        for planned in self.jobs:
            by_seed.setdefault(planned.job.recipe.seed, []).append(planned.job)
        return [by_seed[seed] for seed in sorted(by_seed)]


def make_plan(jobs: Sequence[Job], datasets: Sequence[Dataset], folder: Path) -> Plan:
    """The plan of jobs that run into one folder.

    Args:
        jobs: recipes, of one table or of several seeds.
        datasets: the dataset of each job; no pixel of it is read.
        folder: the run folder.

    Raises:
        CheckpointError: when a file that a network depends on can't be read.
        DataError: when a taxonomy's labels can't be made.
    """
    keys = [stage_keys(job.recipe, data) for job, data in zip(jobs, datasets, strict=True)]
    rows = _rows_by_key(jobs, keys)
    planned = []
    for job, data, by_stage in zip(jobs, datasets, keys, strict=True):
        digest = data.manifest.digest
        stages = job.recipe.generations
        steps = [_step(stage, job, digest, by_stage, rows, folder) for stage in stages]
        planned.append(PlannedJob(job, tuple(steps)))
    return Plan(folder, tuple(planned))


def plan_detectors(jobs: Sequence[DetectorJob], data: Sequence[str], folder: Path) -> list[Step]:
    """The step of each job: a detector's recipe trains one network.

    Args:
        jobs: recipes, of one table or of several seeds.
        data: digest of the images of each job.
        folder: the run folder.

    Raises:
        CheckpointError: when the file of a backbone can't be read.
    """
    keys = [detector_key(job.recipe, digest) for job, digest in zip(jobs, data, strict=True)]
    rows = _rows_by_key(jobs, [{STAGE: key} for key in keys])
    return [
        Step(
            **_place(job, STAGE, key, rows, folder),
            kind=DETECTOR,
            model=architecture(job.recipe.detector.backbone),
            labels="given boxes",
            data=digest,
            outside=backbone_origin(job.recipe.detector.backbone),
        )
        for job, digest, key in zip(jobs, data, keys, strict=True)
    ]


def _rows_by_key(
    jobs: Sequence[Job | DetectorJob], keys: Sequence[Mapping[str, str]]
) -> dict[str, list[str]]:
    """The rows of the table that share each network; none for a lone recipe."""
    rows: dict[str, list[str]] = {}
    for job, by_stage in zip(jobs, keys, strict=True):
        for key in by_stage.values():
            rows.setdefault(key, []).extend([job.row] if job.row else [])
    return rows


def _step(
    stage: Stage,
    job: Job,
    data: str,
    keys: Mapping[str, str],
    rows: Mapping[str, Sequence[str]],
    folder: Path,
) -> Step:
    stages = {other.id: other for other in job.recipe.generations}
    return Step(
        **_place(job, stage.id, keys[stage.id], rows, folder),
        kind=CLASSIFIER,
        model=architecture(stage.model),
        labels=builders.describe_labels(stage),
        refiners=tuple(keys.get(name, name) for name in refiners_of(stage)),
        generation=generation(stage, stages),
        data=data,
        outside=outside_networks(stage, stages),
        needs=needs(stage, stages),
        beside=stage.beside,
    )


def _place(
    job: Job | DetectorJob,
    stage: str,
    key: str,
    rows: Mapping[str, Sequence[str]],
    folder: Path,
) -> dict[str, Any]:
    """What steps of both kinds have in common."""
    return {
        "stage": stage,
        "key": key,
        "rows": tuple(rows[key]),
        "seed": job.recipe.seed,
        "precision": job.recipe.engine.precision,
        "folder": folder / files.STAGES / files.stage_folder(stage, key),
        "fills": job.row,
    }


def run_folder(runs: Path, name: str, recipe: Recipe | DetectionRecipe) -> Path:
    """Where a run is kept if no folder is named: by a name and a digest.

    The seed and the number of processes do not matter.
    """
    engine = recipe.engine.model_copy(update={"devices": 1, "nodes": 1})
    same = recipe.model_copy(update={"seed": 0, "engine": engine})
    return runs / f"{name}-{part_hash(same)[:8]}"


def seeded(recipe: R, seeds: int) -> list[R]:
    """The recipe at `seeds` seeds, counted from its own."""
    return [recipe.model_copy(update={"seed": recipe.seed + i}) for i in range(seeds)]
