"""Run recipes into one folder: the rows of a table, several seeds, in one process or several."""

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from lightning_fabric import Fabric

from tinyrefinery import builders
from tinyrefinery.data.dataset import Dataset, Problem
from tinyrefinery.data.images import ResidentImages
from tinyrefinery.errors import ChainError, DataError, RecipeError, StorageError
from tinyrefinery.execution.chain import Chain
from tinyrefinery.execution.processes import side_by_side
from tinyrefinery.execution.recipe_run import LABELS, Job, RecipeRun, say
from tinyrefinery.files import check_writable, write_atomic
from tinyrefinery.recipe.detection import DetectionRecipe
from tinyrefinery.recipe.labels import Refined
from tinyrefinery.recipe.load import dump, load_recipe, part_hash
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.shipped import locate
from tinyrefinery.runs.environment import environment


def run_folder(runs: Path, name: str, recipe: Recipe | DetectionRecipe) -> Path:
    """Where a recipe is kept if no folder is named: by its name and a digest, whatever the seed."""
    return runs / f"{name}-{part_hash(recipe.model_copy(update={'seed': 0}))[:8]}"


def seeded(recipe: Recipe, seeds: int) -> list[Recipe]:
    """The recipe at `seeds` seeds, counted from its own."""
    return [recipe.model_copy(update={"seed": recipe.seed + i}) for i in range(seeds)]


def run(
    jobs: Sequence[Job],
    folder: Path,
    *,
    data: Dataset | None = None,
    processes: int = 1,
    table: Mapping[str, Any] | None = None,
) -> list[Chain]:
    """Train what isn't finished; finished stages are read back.

    Args:
        jobs: recipes, of one table or of several seeds.
        folder: the run folder, made where it doesn't exist.
        data: the data set, for callers who have it open; else as each recipe says.
        processes: how many seeds to train side by side, each on its share of the cores.
        table: what the folder is to keep of the table that the jobs are rows of (`table_facts`).

    Returns:
        The trained chain of each job.

    Raises:
        RefineryError: for anything that the user can mend; what was made until then is kept.
    """
    return [each.chain for each in _finished(jobs, folder, data, processes, table)]


def _finished(
    jobs: Sequence[Job],
    folder: Path,
    data: Dataset | None,
    processes: int,
    table: Mapping[str, Any] | None = None,
) -> list[RecipeRun]:
    """The recipes' runs, each with its chain."""
    with alone(folder):
        ready = begun(jobs, folder, processes)
        runs = open_runs(ready, folder, data)
        if runs[0].fabric.is_global_zero:
            describe(folder, runs, jobs[0].recipe)
            if table is not None:
                _describe_table(folder, table, runs, jobs)
        if processes > 1 and data is None:
            _run_side_by_side(ready, folder, processes)
        try:
            run_all(runs)
        finally:
            if runs[0].fabric.is_global_zero and len(runs[0].chain):
                runs[0].save_samples()
        return runs


def begun(jobs: Sequence[Job], folder: Path, processes: int = 1) -> list[Job]:
    """The jobs with the networks that they start from named as files, trained first where needed.

    A recipe that a stage starts from (`init_from: recipe:NAME`) is run at the seeds of the jobs
    into a run folder of its own, `starts/NAME-DIGEST` in `folder`.

    Raises:
        RefineryError: for anything that the user can mend.
    """
    _check_label_places(jobs)
    wanted = {
        (name, job.recipe.seed): None
        for job in jobs
        for stage in job.recipe.stages
        if (name := stage.init_from) and name.startswith(builders.RECIPE)
    }
    files: dict[tuple[str, int], str] = {}
    for name in dict.fromkeys(name for name, _ in wanted):
        seeds = [seed for each, seed in wanted if each == name]
        first = start_recipe(name)
        _check_models(name, first, jobs)
        found = trained_start(name, first, seeds, folder, processes)
        files |= {(name, seed): f"file:{path}" for seed, path in found.items()}
    return [replace(job, recipe=_started_from(job.recipe, files)) for job in jobs]


def _check_label_places(jobs: Sequence[Job]) -> None:
    """Refuse places of label stores that can't be made, before a refiner is trained for them.

    A folder that is there may hold whole stores, which are read even where nothing can be written.
    """
    for stage in (stage for job in jobs for stage in job.recipe.stages):
        store = stage.labels.store if isinstance(stage.labels, Refined) else None
        if store is not None and store.path is not None:
            place = Path(store.path).expanduser()
            check_writable(folders=[None if place.is_dir() else place])


def start_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe that `init_from: recipe:NAME` means."""
    return load_recipe(locate(name.removeprefix(builders.RECIPE)), overrides)


def trained_start(
    name: str, first: Recipe, seeds: Sequence[int], folder: Path, processes: int = 1
) -> dict[int, Path]:
    """The file of the last network of `first`, by seed; what isn't finished is trained.

    Args:
        name: what `init_from` says.
        first: the recipe that it means (`start_recipe`).
        seeds: at which it is wanted.
        folder: of the run that starts from it.
        processes: see `run`.

    Raises:
        RefineryError: for anything that the user can mend.
    """
    path = locate(name.removeprefix(builders.RECIPE))
    place = run_folder(folder / "starts", path.stem, first)
    if place.name in folder.parts:
        raise RecipeError(f"{path}: starts from itself (init_from: {name})")
    say(f"{name}: trained first, in {place}")
    own = [Job(first.model_copy(update={"seed": seed})) for seed in seeds]
    found = {}
    for seed, each in zip(seeds, _finished(own, place, None, processes), strict=True):
        last = each.stage_folder(each.stages[each.chain[-1].id])
        found[seed] = last / "model.safetensors"
    return found


def _check_models(name: str, first: Recipe, jobs: Sequence[Job]) -> None:
    """See before the training of a start whether its network will fit."""
    model = first.generations[-1].model
    for stage in (stage for job in jobs for stage in job.recipe.stages if stage.init_from == name):
        if (stage.model.name, stage.model.kwargs) != (model.name, model.kwargs):
            raise RecipeError(
                f"stages.{stage.id}.init_from: '{name}' ends with {model.name} {model.kwargs}, but "
                f"this stage's model is {stage.model.name} {stage.model.kwargs}; both must be the "
                "same"
            )


def _started_from(recipe: Recipe, files: Mapping[tuple[str, int], str]) -> Recipe:
    stages = [
        stage.model_copy(update={"init_from": file})
        if (file := files.get((stage.init_from or "", recipe.seed)))
        else stage
        for stage in recipe.stages
    ]
    return recipe.model_copy(update={"stages": tuple(stages)})


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder; the operating system lets go of it however the process ends.

    Raises:
        RefineryError: when it can't be written.
        StorageError: when another command holds it, or it can't be made.
    """
    check_writable(folders=[folder])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        if int(os.environ.get("LOCAL_RANK", "0")) > 0:  # another process of the same command
            yield
            return
        with lock:
            for litter in folder.rglob(".*.part"):  # of a process that was killed while writing
                # Others may be writing into the label stores, which look after themselves.
                if litter.relative_to(folder).parts[0] != LABELS:
                    litter.unlink(missing_ok=True)
            yield
    except Timeout as error:
        raise StorageError(
            f"{folder}: another command is running in this folder; wait for it, or name another "
            "folder with --name"
        ) from error
    except OSError as error:
        raise StorageError(f"{folder}: can't be written ({error.strerror or error})") from error


def open_runs(jobs: Sequence[Job], folder: Path, data: Dataset | None = None) -> list[RecipeRun]:
    """Open the data and check everything that can be wrong before hours of training."""
    fabrics: dict[str, Fabric] = {}
    opened: dict[str, Dataset] = {}
    runs = []
    for job in jobs:
        engine = part_hash(job.recipe.engine)
        if engine not in fabrics:
            fabrics[engine] = builders.fabric(job.recipe.engine)
            fabrics[engine].launch()
        fabric = fabrics[engine]
        source = part_hash(job.recipe.data.source)
        if source not in opened:
            opened[source] = _resident_on(fabric.device, data or builders.dataset(job.recipe.data))
            _check_splits(opened[source])
        runs.append(RecipeRun(job, folder, opened[source], fabric))
    return runs


def _resident_on(device: torch.device, data: Dataset) -> Dataset:
    """Small images live where the networks do, so that crops are made there too."""
    if device.type == "cpu" or not isinstance(data.images, ResidentImages):
        return data
    return replace(data, images=ResidentImages(data.images.array.to(device)))


def run_all(runs: Sequence[RecipeRun], only: Collection[str] | None = None) -> None:
    """Run each; one whose chain breaks off doesn't keep the others from running.

    Args:
        runs: of one folder.
        only: ids of the stages to train; None: all.

    Raises:
        ChainError: when all is done, with the reasons of those that broke off.
    """
    users: dict[str, list[str]] = {}
    for each in runs:
        for key in each.keys.values():
            users.setdefault(key, []).append(each.row)
    broken: dict[str, None] = {}
    for each in runs:
        each.use_threads()
        try:
            each.run(users, only)
        except ChainError as error:
            broken[str(error)] = None
        finally:
            each.forget_labels()
    if broken:
        raise ChainError("\n".join(broken))


def _run_side_by_side(jobs: Sequence[Job], folder: Path, processes: int) -> None:
    """Train in several processes. Seeds share no stage, so each process takes whole seeds."""
    seeds = sorted({job.recipe.seed for job in jobs})
    shares = [[job for job in jobs if job.recipe.seed == seed] for seed in seeds]
    side_by_side(_work, [(share, folder) for share in shares], processes)


def _work(jobs: Sequence[Job], folder: Path) -> None:
    with suppress(ChainError):  # the parent, reading back, meets it again
        run_all(open_runs(jobs, folder))


def _check_splits(data: Dataset) -> None:
    for split, why in (
        ("train", "there is nothing to learn from"),
        ("validation", "a chain is judged by it; set data.source.validation"),
    ):
        if not len(data.manifest.rows(split)):
            raise DataError(f"data set '{data.name}': the {split} split is empty; {why}")


def _describe_table(
    folder: Path, table: Mapping[str, Any], runs: Sequence[RecipeRun], jobs: Sequence[Job]
) -> None:
    """Write each row's recipe, and table.json: the table's facts and the keys of its stages.

    The keys say which stage fills each row, by seed. Rows and seeds of earlier commands keep
    theirs, as long as the table is the same.
    """
    path, before = folder / "table.json", {}
    with suppress(OSError, ValueError):  # the first command here, or a file that was damaged
        before = json.loads(path.read_text())
    same = all(before.get(name) == table[name] for name in ("digest", "smoke"))
    known = before.get("keys", {}) if same else {}
    stages = {row["id"]: row["stage"] for row in table["rows"]}
    keys = {row: dict(known.get(row, {})) for row in stages}
    for each in runs:
        keys[each.row][str(each.recipe.seed)] = each.keys[stages[each.row]]
    for row, recipe in {each.row: each.recipe for each in reversed(jobs)}.items():
        write_atomic(folder / "recipes" / f"{row}.yaml", dump(recipe))
    write_atomic(path, json.dumps({**table, "keys": keys}, indent=1))


def describe(folder: Path, runs: Sequence[RecipeRun], recipe: Recipe) -> None:
    """Write what the run is: recipe, environment, data and the rows that were left out.

    Args:
        folder: of the run.
        runs: its recipes, opened.
        recipe: the first of them as it was given. `begun` names networks of one seed in it.
    """
    datasets = list({id(each.data): each.data for each in runs}.values())
    write_atomic(folder / "recipe.yaml", dump(recipe))
    rows = [{"row": each.row, "seed": each.recipe.seed} for each in runs]
    write_atomic(folder / "rows.json", json.dumps(rows, indent=1))
    write_atomic(folder / "environment.json", json.dumps(environment(), indent=1))
    first = datasets[0].manifest
    facts = {
        "name": datasets[0].name,
        "digest": first.digest,
        "classes": list(first.classes),
        "splits": {s: len(first.rows(s)) for s in ("train", "validation", "test")},
    }
    write_atomic(folder / "data.json", json.dumps(facts, indent=1))
    write_problems(folder, list(dict.fromkeys(p for each in datasets for p in each.problems)))


def write_problems(folder: Path, problems: Sequence[Problem]) -> None:
    """List what is wrong with the data in `excluded.csv`, and say how much it is."""
    if problems:
        one = f"{problems[0].kind.replace('_', ' ')}: {problems[0].where}: {problems[0].what}"
        say(f"data: {len(problems)} problems, listed in {folder / 'excluded.csv'}; first: {one}")
    lines = ["kind,where,what"]
    for problem in problems:
        cells = (problem.kind, problem.where, problem.what)
        lines.append(",".join('"' + cell.replace('"', '""') + '"' for cell in cells))
    write_atomic(folder / "excluded.csv", "\n".join(lines) + "\n")
