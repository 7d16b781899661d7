"""`tinyrefinery run` and `reproduce`: train the stages of a recipe, or the rows of a table."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import (
    Overrides,
    Processes,
    RecipeName,
    RunName,
    Runs,
    Seeds,
    Smoke,
    option,
)
from tinyrefinery.cli.outcome import show
from tinyrefinery.cli.progress import log_progress
from tinyrefinery.cli.reproduce_needs import needs_lines
from tinyrefinery.errors import DataError, RecipeError, RefineryError
from tinyrefinery.options.launch import is_first, launched
from tinyrefinery.recipe.detection import DetectionRecipe
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.shipped import locate
from tinyrefinery.recipe.smoke import smoke as shrink
from tinyrefinery.recipe.smoke import user_folder
from tinyrefinery.recipe.table import (
    at_scale,
    check_rows,
    in_running_order,
    load_table,
    table_facts,
    table_rows,
)

AnyRecipe = Recipe | DetectionRecipe
Strict = Annotated[
    bool,
    typer.Option(
        "--strict", help="Fail on broken images or empty classes instead of skipping them."
    ),
]


Unlabelled = Annotated[
    str | None,
    option(
        "FOLDER",
        "Pictures without labels that join training in stages with refined labels.",
        default="none",
    ),
]


Devices = Annotated[
    int | None,
    option("N", "Processes on each machine that share every batch.", default="the recipe's", min=1),
]
Nodes = Annotated[
    int | None,
    option("N", "Machines that share every batch.", default="the recipe's", min=1),
]


def run(
    recipe: RecipeName,
    overrides: Overrides = None,
    seeds: Seeds = 1,
    name: RunName = None,
    strict: Strict = False,
    unlabelled: Unlabelled = None,
    runs: Runs = Path("runs"),
    processes: Processes = 1,
    devices: Devices = None,
    nodes: Nodes = None,
    smoke: Smoke = False,
) -> None:
    """Train a recipe and write a report. Rerun to resume.

    Finished stages are kept. Only unfinished stages are trained.
    """
    path = locate(recipe)
    more = [] if unlabelled is None else [f"data.unlabelled={json.dumps(unlabelled)}"]
    more += [*strictness(strict, smoke), *_engine_overrides(devices, nodes)]
    loaded = load_recipe(path, [*(overrides or []), *more])
    if smoke:
        _check_folder(loaded, overrides or [])
    train_seeds(path, loaded, seeds, name, runs, processes, smoke=smoke)


def _engine_overrides(devices: int | None, nodes: int | None) -> list[str]:
    """The overrides that `--devices` and `--nodes` stand for.

    Raises:
        RecipeError: if they contradict how `torchrun` or `srun` started this process.
    """
    if (started := launched()) is None:
        wanted = (("devices", devices), ("nodes", nodes))
        return [f"engine.{name}={number}" for name, number in wanted if number is not None]
    both = (("devices", devices, started.devices), ("nodes", nodes, started.nodes))
    for name, number, there in both:
        if number not in (None, there):
            raise RecipeError(
                f"--{name} {number}: this process is one of {started.devices} on each of "
                f"{started.nodes} machines. Leave --{name} out: the launcher decides"
            )
    return []


def _check_folder(recipe: Recipe, overrides: Sequence[str]) -> None:
    """Refuse a folder that an override names and that is not there; a smoke run does without."""
    folder = user_folder(recipe)
    named = any(each.strip().startswith("data.source") for each in overrides)
    if folder is not None and named and not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder. Set data.source.root to your pictures")


def strictness(strict: bool, smoke: bool) -> list[str]:
    """The override that `--strict` stands for."""
    return ["data.source.strict=true"] if strict and not smoke else []


def train_seeds(
    path: Path,
    recipe: AnyRecipe,
    seeds: int,
    name: str | None,
    runs: Path,
    processes: int = 1,
    *,
    smoke: bool,
    ending: Callable[[Path], object] = lambda folder: show([folder]),
) -> None:
    """Train a recipe of the file `path` at several seeds, and report. The rest is as in `run`.

    `ending` is called with the run folder when everything is trained.
    """
    recipe = shrink(recipe) if smoke else recipe
    from tinyrefinery.runs.plan import run_folder, seeded

    stem = f"{path.stem}-smoke" if smoke else path.stem
    folder = runs / name if name else run_folder(runs, stem, recipe)
    jobs = [("", at_seed) for at_seed in seeded(recipe, seeds)]
    _train(jobs, folder, processes, ending=ending)


def reproduce(
    table: Annotated[str, typer.Argument(help="Table file, or name of a shipped table.")],
    overrides: Overrides = None,
    row: Annotated[
        list[str] | None, option("ROW", "Row to train. Repeatable.", default="all rows")
    ] = None,
    scale: Annotated[
        str | None,
        option(
            "SCALE",
            "Train the rows on the data of one of the table's scales.",
            default="the table's own data",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        option("N", "Number of seeds, counting up from 0.", default="the table's seeds", min=1),
    ] = None,
    name: RunName = None,
    runs: Runs = Path("runs"),
    processes: Processes = 1,
    smoke: Smoke = False,
    needs: Annotated[
        bool, typer.Option("--needs", help="Print data, disk and hours, and train nothing.")
    ] = False,
) -> None:
    """Train the rows of a paper's table. Rerun to resume.

    Stages that rows share are trained once. OVERRIDES apply to every row. Data, disk and hours
    are printed first.
    """
    path = locate(table)
    loaded = at_scale(load_table(path), scale, path)
    check_rows(row or [], loaded, path)
    if seeds is not None:
        loaded = loaded.model_copy(update={"seeds": tuple(range(seeds))})
    jobs = table_rows(loaded, path, overrides or [])
    facts = table_facts(loaded, jobs, scale, smoke=smoke)
    chosen = [
        (id, shrink(recipe) if smoke else recipe)
        for id, recipe in in_running_order(loaded, jobs)
        if not row or id in row
    ]
    if needs or (not smoke and is_first()):
        for line in needs_lines([recipe for _, recipe in chosen], processes):
            streams.echo(line, err=not needs)
    if needs:
        return
    stem = "-".join(filter(None, (path.stem, scale, "smoke" if smoke else None)))
    # The digest is that of all rows, so that --row and --seeds resume in the table's folder.
    _train(chosen, runs / (name or f"{stem}-{facts['digest'][:8]}"), processes, facts)


def _train(
    jobs: Sequence[tuple[str, AnyRecipe]],
    folder: Path,
    processes: int,
    table: dict | None = None,
    ending: Callable[[Path], object] = lambda folder: show([folder]),
) -> None:
    """Train the recipes of rows into a run folder, and report."""
    log_progress()
    if is_first():
        streams.echo(f"run folder: {folder}", err=True)
    try:
        _execute(jobs, folder, processes, table)
    except (RefineryError, KeyboardInterrupt):
        # What was finished is worth a report. The reason for stopping is printed last.
        with suppress(RefineryError):
            show([folder])
        raise
    if is_first():  # of several processes one reports
        ending(folder)


def _execute(
    jobs: Sequence[tuple[str, AnyRecipe]], folder: Path, processes: int, table: dict | None
) -> None:
    from tinyrefinery.runs.plan import DetectorJob, Job

    detectors = [
        DetectorJob(recipe, row) for row, recipe in jobs if isinstance(recipe, DetectionRecipe)
    ]
    if not detectors:
        from tinyrefinery.deploy.budget_check import check_budgets
        from tinyrefinery.execution.execute import run as run_jobs

        networks = [Job(recipe, row) for row, recipe in jobs if isinstance(recipe, Recipe)]
        run_jobs(networks, folder, processes=processes, table=table, check=check_budgets)
        return
    if processes > 1:
        raise RecipeError("detectors are trained by one process; leave --processes out")
    if (started := launched()) and started.devices * started.nodes > 1:
        raise RecipeError("detectors are trained by one process; start it without a launcher")
    from tinyrefinery.detection.detector_run import run_detectors

    run_detectors(detectors, folder, table=table)
