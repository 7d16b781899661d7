"""Run recipes into one folder: the rows of a table, several seeds, in one process or several.

A run may need other runs: those of the recipes that its networks start from are trained first.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from tinyrefinery import builders
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.images import ResidentImages
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.errors import ChainError, DataError, RecipeError
from tinyrefinery.execution.chain import Chain
from tinyrefinery.execution.chosen_precision import with_chosen_precision
from tinyrefinery.execution.initial_recipes import Files, Start, starts_of, with_start_files
from tinyrefinery.execution.jobs import train_jobs
from tinyrefinery.execution.opened import OpenJob
from tinyrefinery.execution.processes import run_in_processes
from tinyrefinery.execution.sample_crops import save_samples
from tinyrefinery.execution.several_processes import (
    check_seeds_apart,
    check_shares,
    told_if_others_ended,
)
from tinyrefinery.files import check_writable
from tinyrefinery.networks.held_out import without_seen
from tinyrefinery.options.labels import Refined
from tinyrefinery.recipe.load import part_hash
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.runs import files
from tinyrefinery.runs.lock import locked
from tinyrefinery.runs.plan import Job, Plan, make_plan, run_folder
from tinyrefinery.runs.writing import data_facts, seen_outside, write_run, write_table

Check = Callable[[Recipe, Dataset, Collection[str]], object]
"""Called with a recipe, its data and the ids of the stages that are trained already."""
log = logging.getLogger("tinyrefinery")


def run(
    jobs: Sequence[Job],
    folder: Path,
    *,
    data: Dataset | None = None,
    processes: int = 1,
    table: Mapping[str, Any] | None = None,
    check: Check = lambda recipe, data, done: None,
) -> list[Chain]:
    """Train all unfinished networks of recipes. Finished ones are read back.

    Args:
        jobs: recipes, of one table or of several seeds.
        folder: the run folder, made where it doesn't exist.
        data: the dataset, for callers who have it open; else as each recipe says.
        processes: how many seeds to train at the same time, each on its share of the cores.
        table: what the folder keeps of the table that the jobs are rows of (`table_facts`).
        check: called before anything is trained, for each recipe; it may refuse.

    Returns:
        The trained chain of each job.

    Raises:
        RefineryError: for anything that the user can fix; what was trained until then is kept.
    """
    with locked(folder):
        opened = _run_locked(jobs, folder, data, processes, table, check)
        return [job.chain for job in opened]


def _run_locked(
    jobs: Sequence[Job],
    folder: Path,
    data: Dataset | None,
    processes: int,
    table: Mapping[str, Any] | None = None,
    check: Check = lambda recipe, data, done: None,
) -> list[OpenJob]:
    """The jobs, each with its chain."""
    check_seeds_apart(jobs, processes)
    jobs = with_chosen_precision(jobs, folder)
    _check_label_places(jobs)
    _check_before_starts(jobs, data, check)
    ready = train_starts(jobs, folder, processes)
    opened, plan = open_jobs(ready, folder, data)
    _check(opened, check)
    if opened[0].fabric.is_global_zero:
        describe(folder, opened, jobs)
        if table is not None:
            steps = [step for planned in plan.jobs for step in planned.steps]
            write_table(folder, table, jobs, steps)
    if processes > 1 and data is None:
        # Afterwards this process reads everything back, and raises what went wrong.
        run_in_processes(_train_share, [(share, folder) for share in plan.shares()], processes)
    try:
        with told_if_others_ended():
            train_jobs(opened, folder)
    finally:
        if opened[0].fabric.is_global_zero and len(opened[0].chain):
            save_samples(folder / files.SAMPLES, opened[0])
    return opened


def _check_before_starts(jobs: Sequence[Job], data: Dataset | None, check: Check) -> None:
    """Check each recipe before the recipes are trained that its networks start from, if any."""
    if not list(starts_of(jobs)):
        return  # `_check` comes early enough, and knows what is trained already
    recipes = [job.recipe.model_copy(update={"seed": 0}) for job in jobs]
    for number, recipe in enumerate(recipes):
        if recipe not in recipes[:number]:
            check(recipe, builders.training_dataset(recipe.data, data), ())


def _check(jobs: Sequence[OpenJob], check: Check) -> None:
    """Check each recipe once, whatever its seeds, without the stages that all of them trained."""
    recipes = [job.recipe.model_copy(update={"seed": 0}) for job in jobs]
    for number, job in enumerate(jobs):
        if recipes[number] in recipes[:number]:
            continue
        same = [jobs[place] for place, other in enumerate(recipes) if other == recipes[number]]
        done = [{s.stage for s in each.planned.steps if s.is_done} for each in same]
        check(job.recipe, job.data, set.intersection(*done))


def _train_share(jobs: Sequence[Job], folder: Path) -> None:
    """Train jobs in a process of their own."""
    with suppress(ChainError):  # the parent raises it when it reads the jobs back
        train_jobs(open_jobs(jobs, folder)[0], folder)


def train_starts(jobs: Sequence[Job], folder: Path, processes: int = 1) -> list[Job]:
    """Train the recipes that stages start from (`init_from: recipe:NAME`), at the jobs' seeds.

    Returns:
        The jobs, with these networks named as files.

    Raises:
        RefineryError: for anything that the user can fix.
    """
    _check_label_places(jobs)
    return with_start_files(jobs, train_recipes(starts_of(jobs), folder, processes))


def train_recipes(wanted: Iterable[tuple[Start, int]], folder: Path, processes: int = 1) -> Files:
    """Train recipes that networks of a run start from, into `starts/NAME-DIGEST` of its folder.

    Args:
        wanted: recipes and the seeds at which they are needed, in any order.
        folder: of the run that starts from them.
        processes: see `run`.

    Raises:
        RefineryError: for anything that the user can fix.
    """
    seeds: dict[Start, list[int]] = {}
    for start, seed in dict.fromkeys(wanted):  # all are checked before the first is trained
        seeds.setdefault(start, []).append(seed)
    trained: dict[tuple[Start, int], Path] = {}
    for start, wanted_seeds in seeds.items():
        jobs = _train_recipe(start, wanted_seeds, folder, processes)
        for seed, job in zip(wanted_seeds, jobs, strict=True):
            trained[start, seed] = job.planned[job.chain[-1].id].network
    return trained


def _train_recipe(
    start: Start, seeds: Sequence[int], folder: Path, processes: int
) -> list[OpenJob]:
    recipe = start.load()
    place = run_folder(folder / files.STARTS, start.path.stem, recipe)
    if place.name in folder.parts:
        raise RecipeError(f"{start.path}: starts from itself (init_from: {start.name})")
    log.info(f"{start.name}: trained first, in {place}")
    jobs = [Job(recipe.model_copy(update={"seed": seed})) for seed in seeds]
    with locked(place):
        return _run_locked(jobs, place, None, processes)


def _check_label_places(jobs: Sequence[Job]) -> None:
    """Refuse places of label stores that can't be made, before a refiner is trained for them.

    An existing folder may hold whole stores, which are read even where nothing can be written.
    """
    for stage in (stage for job in jobs for stage in job.recipe.stages):
        store = stage.labels.store if isinstance(stage.labels, Refined) else None
        if store is not None and store.path is not None:
            place = Path(store.path).expanduser()
            check_writable(folders=[None if place.is_dir() else place])


def open_jobs(
    jobs: Sequence[Job], folder: Path, data: Dataset | None = None
) -> tuple[list[OpenJob], Plan]:
    """Open the data and devices of jobs, plan them, and check all that can be wrong.

    Raises:
        RefineryError: for anything that the user can fix.
    """
    fabrics: dict[str, Fabric] = {}
    for job in jobs:
        engine = part_hash(job.recipe.engine)
        if engine not in fabrics:
            fabrics[engine] = builders.fabric(job.recipe.engine)
            fabrics[engine].launch()
    launched = [fabrics[part_hash(job.recipe.engine)] for job in jobs]
    for job, fabric in zip(jobs, launched, strict=True):
        check_shares(job.recipe, fabric)
    datasets = _open_data(jobs, launched, data)
    plan = make_plan(jobs, datasets, folder)
    opened = map(OpenJob, plan.jobs, datasets, launched, _measured(plan, datasets))
    return list(opened), plan


def _measured(plan: Plan, datasets: Sequence[Dataset]) -> list[Manifest]:
    """The manifest of each job, in the splits that all its networks are measured on.

    One set of test images for the whole plan, so that its networks can be compared.
    """
    known: dict[str, frozenset[str]] = {}  # by key, which several jobs may share
    for planned, data in zip(plan.jobs, datasets, strict=True):
        for step in planned.steps:
            if step.key not in known:
                known[step.key] = seen_outside(step, data.manifest.column("id").tolist())
    seen = frozenset[str]().union(*known.values())
    held = {id(data): without_seen(data.manifest, seen) for data in datasets}
    for note in dict.fromkeys(note for each in held.values() for note in each.notes):
        log.warning(note)
    return [held[id(data)].manifest for data in datasets]


def _open_data(
    jobs: Sequence[Job], fabrics: Sequence[Fabric], data: Dataset | None
) -> list[Dataset]:
    """The dataset of each job; those of one source share it."""
    opened: dict[str, Dataset] = {}
    for job, fabric in zip(jobs, fabrics, strict=True):
        source = _source_of(job)
        if source not in opened:
            whole = builders.training_dataset(job.recipe.data, data)
            opened[source] = _resident_on(fabric.device, whole)
            _check_splits(opened[source])
    return [opened[_source_of(job)] for job in jobs]


def _source_of(job: Job) -> str:
    """What the images of a job are known by."""
    data = job.recipe.data
    return f"{part_hash(data.source)} {data.unlabelled}"


def _resident_on(device: torch.device, data: Dataset) -> Dataset:
    """Small images live where the networks do, so that crops are made there too."""
    if device.type == "cpu" or not isinstance(data.images, ResidentImages):
        return data
    return replace(data, images=ResidentImages(data.images.array.to(device)))


def _check_splits(data: Dataset) -> None:
    tried = any(p.kind == "empty_split" and p.where == "validation" for p in data.problems)
    remedy = (
        "there are too few training images to split it off: collect at least three per class"
        if tried
        else "set data.source.validation"
    )
    for split, why in (
        ("train", "there is nothing to learn from"),
        ("validation", f"a chain is judged by it; {remedy}"),
    ):
        if not len(data.manifest.rows(split)):
            raise DataError(f"dataset '{data.name}': the {split} split is empty; {why}")


def describe(folder: Path, opened: Sequence[OpenJob], jobs: Sequence[Job]) -> None:
    """Write what the run is.

    Args:
        folder: of the run.
        opened: its jobs.
        jobs: the same as they were given, with their precision chosen: `train_starts` names
            networks of one seed in the others.
    """
    datasets = {id(job.whole): job.whole for job in opened}.values()
    write_run(folder, jobs[0].recipe, [data_facts(data) for data in datasets])
