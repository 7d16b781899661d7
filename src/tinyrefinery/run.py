"""Run recipes into one folder: the rows of a table, several seeds, in one process or several."""

import json
import os
import platform
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from lightning_fabric import Fabric

from tinyrefinery import build
from tinyrefinery.chain import Chain
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.images import ResidentImages
from tinyrefinery.errors import ChainError, DataError, StorageError
from tinyrefinery.files import write_atomic
from tinyrefinery.recipe.load import dump, part_hash
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe_run import Job, RecipeRun, say


def run_folder(runs: Path, name: str, recipe: Recipe) -> Path:
    """Where a recipe is kept if no folder is named: by its name and a digest, whatever the seed."""
    return runs / f"{name}-{part_hash(recipe.model_copy(update={'seed': 0}))[:8]}"


def seeded(recipe: Recipe, seeds: int) -> list[Recipe]:
    """The recipe at `seeds` seeds, counted from its own."""
    return [recipe.model_copy(update={"seed": recipe.seed + i}) for i in range(seeds)]


def run(
    jobs: Sequence[Job], folder: Path, *, data: Dataset | None = None, processes: int = 1
) -> list[Chain]:
    """Train what isn't finished; finished stages are read back.

    Args:
        jobs: recipes, of one table or of several seeds.
        folder: the run folder, made where it doesn't exist.
        data: the data set, for callers who have it open; else as each recipe says.
        processes: how many seeds to train side by side, each on its share of the cores. On CPUs
            this is faster than one process with many threads, for networks as small as ours.

    Returns:
        The trained chain of each job.

    Raises:
        RefineryError: for anything that the user can mend; what was made until then is kept.
    """
    with _alone(folder):
        runs = _open(jobs, folder, data)
        if runs[0].fabric.is_global_zero:
            _describe(folder, runs)
        if processes > 1 and data is None:
            _run_side_by_side(jobs, folder, processes)
        try:
            _run_all(runs)
        finally:
            if runs[0].fabric.is_global_zero and len(runs[0].chain):
                runs[0].save_samples()
        return [each.chain for each in runs]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder; the operating system lets go of it however the process ends.

    Raises:
        StorageError: when another command holds it, or it can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        if int(os.environ.get("LOCAL_RANK", "0")) > 0:  # another process of the same command
            yield
            return
        with lock:
            for litter in folder.rglob(".*.part"):  # of a process that was killed while writing
                litter.unlink(missing_ok=True)
            yield
    except Timeout as error:
        raise StorageError(
            f"{folder}: another command is running in this folder; wait for it, or name another "
            "folder with --name"
        ) from error
    except OSError as error:
        raise StorageError(f"{folder}: can't be written ({error.strerror or error})") from error


def _open(jobs: Sequence[Job], folder: Path, data: Dataset | None) -> list[RecipeRun]:
    """Open the data and check everything that can be wrong before hours of training."""
    fabrics: dict[str, Fabric] = {}
    opened: dict[str, Dataset] = {}
    runs = []
    for job in jobs:
        engine = part_hash(job.recipe.engine)
        if engine not in fabrics:
            fabrics[engine] = build.fabric(job.recipe.engine)
            fabrics[engine].launch()
        fabric = fabrics[engine]
        source = part_hash(job.recipe.data.source)
        if source not in opened:
            opened[source] = _resident_on(fabric.device, data or build.dataset(job.recipe.data))
            _check_splits(opened[source])
        runs.append(RecipeRun(job, folder, opened[source], fabric))
    return runs


def _resident_on(device: torch.device, data: Dataset) -> Dataset:
    """Small images live where the networks do, so that crops are made there too."""
    if device.type == "cpu" or not isinstance(data.images, ResidentImages):
        return data
    return replace(data, images=ResidentImages(data.images.array.to(device)))


def _run_all(runs: Sequence[RecipeRun]) -> None:
    """Run each; one whose chain breaks off doesn't keep the others from running.

    Raises:
        ChainError: when all is done, with the reasons of those that broke off.
    """
    users: dict[str, list[str]] = {}
    for each in runs:
        for key in each.keys.values():
            users.setdefault(key, []).append(each.row)
    broken: dict[str, None] = {}
    for each in runs:
        if each.recipe.engine.threads:
            torch.set_num_threads(each.recipe.engine.threads)
        try:
            each.run(users)
        except ChainError as error:
            broken[str(error)] = None
    if broken:
        raise ChainError("\n".join(broken))


def _run_side_by_side(jobs: Sequence[Job], folder: Path, processes: int) -> None:
    """Train in several processes. Seeds share no stage, so each process takes whole seeds."""
    seeds = sorted({job.recipe.seed for job in jobs})
    shares = [[job for job in jobs if job.recipe.seed == seed] for seed in seeds]
    threads = max(1, (os.cpu_count() or 1) // processes)
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read by the new processes as they start
    try:
        with ProcessPoolExecutor(
            processes, get_context("spawn"), _begin_worker, (os.getpid(), threads)
        ) as pool:
            for done in as_completed([pool.submit(_work, share, folder) for share in shares]):
                for line in done.result():
                    say(line)
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _begin_worker(parent: int, threads: int) -> None:
    """Set a worker up: its share of the cores, and an end when the parent is no more."""
    torch.set_num_threads(threads)
    os.environ["TQDM_DISABLE"] = "1"  # bars of several processes would tear one another

    def follow() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _work(jobs: Sequence[Job], folder: Path) -> list[str]:
    """What a worker does with its seed; what there is to say goes back to the parent."""
    import logging

    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    logger = logging.getLogger("tinyrefinery")
    logger.setLevel(logging.INFO)
    logger.handlers = [Keep()]
    with suppress(ChainError):  # the parent, reading back, meets it again
        _run_all(_open(jobs, folder, None))
    return lines


def _check_splits(data: Dataset) -> None:
    for split, why in (
        ("train", "there is nothing to learn from"),
        ("validation", "a chain is judged by it; set data.source.validation"),
    ):
        if not len(data.manifest.rows(split)):
            raise DataError(f"data set '{data.name}': the {split} split is empty; {why}")


def _describe(folder: Path, runs: Sequence[RecipeRun]) -> None:
    """Write what the run is: recipe, environment, data and the rows that were left out."""
    datasets = list({id(each.data): each.data for each in runs}.values())
    write_atomic(folder / "recipe.yaml", dump(runs[0].recipe))
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
    lines = ["kind,where,what"]
    problems = list(dict.fromkeys(p for each in datasets for p in each.problems))
    if problems:
        one = f"{problems[0].kind.replace('_', ' ')}: {problems[0].where}: {problems[0].what}"
        say(f"data: {len(problems)} problems, listed in {folder / 'excluded.csv'}; first: {one}")
    for problem in problems:
        cells = (problem.kind, problem.where, problem.what)
        lines.append(",".join('"' + cell.replace('"', '""') + '"' for cell in cells))
    write_atomic(folder / "excluded.csv", "\n".join(lines) + "\n")


def environment() -> dict[str, Any]:
    """Versions and machine that a run's numbers belong to."""
    names = ("tinyrefinery", "torch", "torchvision", "timm", "numpy", "lightning-fabric")
    cuda = torch.cuda.is_available()
    return {
        "versions": {name: _version(name) for name in names},
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if cuda else None,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
