"""`tinyrefinery run` and `reproduce`: train what a recipe or a table says."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyrefinery.cli.options import RecipeName, RunName, Runs, Seeds, Smoke
from tinyrefinery.errors import RecipeError, RefineryError

if TYPE_CHECKING:
    from tinyrefinery.recipe.detection import DetectionRecipe
    from tinyrefinery.recipe.schema import Recipe

Processes = Annotated[
    int, typer.Option(min=1, help="Seeds to train side by side; about one a core is fastest.")
]


def run(
    recipe: RecipeName,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Changes, e.g. data.source.root=photos/ stages.plain.epochs=30."),
    ] = None,
    seeds: Seeds = 1,
    name: RunName = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse data with broken images and the like.")
    ] = False,
    runs: Runs = Path("runs"),
    processes: Processes = 1,
    smoke: Smoke = False,
) -> None:
    """Train each stage of RECIPE that isn't finished, and report. Goes on when interrupted."""
    from tinyrefinery.recipe.load import load_recipe
    from tinyrefinery.recipe.shipped import locate

    path = locate(recipe)
    loaded = load_recipe(path, [*(overrides or []), *_strict(strict, smoke)])
    train_seeds(loaded, path, seeds, name, runs, processes, smoke=smoke)


def _strict(strict: bool, smoke: bool) -> list[str]:
    return ["data.source.strict=true"] if strict and not smoke else []


def train_seeds(
    recipe: "Recipe | DetectionRecipe",
    path: Path,
    seeds: int,
    name: str | None,
    runs: Path,
    processes: int = 1,
    *,
    smoke: bool,
) -> None:
    """Train a recipe at several seeds, and report.

    Args:
        recipe: of networks that classify, or of a detector.
        path: its file.
        seeds: how many, counted from the recipe's own.
        name: of the run folder; None: by the recipe.
        runs: the folder that run folders are kept in.
        processes: how many seeds to train at the same time.
        smoke: whether to make it small first.
    """
    from tinyrefinery.recipe.smoke import smoke as shrink

    if smoke:
        recipe = shrink(recipe)
    from tinyrefinery.runs.plan import run_folder, seeded

    stem = f"{path.stem}-smoke" if smoke else path.stem
    folder = runs / name if name else run_folder(runs, stem, recipe)
    _train([("", each) for each in seeded(recipe, seeds)], folder, processes)


def reproduce(
    table: Annotated[str, typer.Argument(help="A table's file, or the name of a shipped one.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Changes to the recipe of every row.")
    ] = None,
    row: Annotated[
        list[str] | None, typer.Option(help="Only this row; may be given several times.")
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            help="One of the table's scales: the same rows on other images; else as given."
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="How many seeds, from 0.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run folder.")] = None,
    runs: Runs = Path("runs"),
    processes: Processes = 1,
    smoke: Smoke = False,
) -> None:
    """Run the rows of TABLE with all their seeds; what rows have in common is trained once."""
    from tinyrefinery.recipe.shipped import locate
    from tinyrefinery.recipe.smoke import smoke as shrink
    from tinyrefinery.recipe.table import at_scale, check_rows, load_table, table_facts, table_rows

    path = locate(table)
    loaded = at_scale(load_table(path), scale, path)
    check_rows(row or [], loaded, path)
    if seeds is not None:
        loaded = loaded.model_copy(update={"seeds": tuple(range(seeds))})
    jobs = table_rows(loaded, path, overrides or [])
    facts = table_facts(loaded, jobs, scale, smoke=smoke)
    chosen = [
        (id, shrink(recipe) if smoke else recipe) for id, recipe in jobs if not row or id in row
    ]
    stem = "-".join(filter(None, (path.stem, scale, "smoke" if smoke else None)))
    # The digest is that of all rows, so that --row and --seeds resume in the table's folder.
    _train(chosen, runs / (name or f"{stem}-{facts['digest'][:8]}"), processes, facts)


def _train(
    jobs: "Sequence[tuple[str, Recipe | DetectionRecipe]]",
    folder: Path,
    processes: int,
    table: dict | None = None,
) -> None:
    """Train (row, recipe) pairs into a run folder, and report."""
    from tinyrefinery.cli.outcome import log_progress, show

    log_progress()
    typer.echo(f"run folder: {folder}", err=True)
    try:
        _execute(jobs, folder, processes, table)
    except (RefineryError, KeyboardInterrupt):
        # What was finished is worth a report. The reason for stopping is printed last.
        with suppress(RefineryError):
            show([folder])
        raise
    if os.environ.get("LOCAL_RANK", "0") == "0":  # of several processes one reports
        show([folder])


def _execute(
    jobs: "Sequence[tuple[str, Recipe | DetectionRecipe]]",
    folder: Path,
    processes: int,
    table: dict | None,
) -> None:
    from tinyrefinery.recipe.detection import DetectionRecipe
    from tinyrefinery.runs.plan import DetectorJob, Job

    detectors = [DetectorJob(each, row) for row, each in jobs if isinstance(each, DetectionRecipe)]
    if detectors:
        if processes > 1:
            raise RecipeError("detectors are trained by one process; leave --processes out")
        from tinyrefinery.detection.run import run_detectors

        run_detectors(detectors, folder, table=table)
        return
    from tinyrefinery.execution.run import run as run_jobs

    networks = [Job(each, row) for row, each in jobs if not isinstance(each, DetectionRecipe)]
    run_jobs(networks, folder, processes=processes, table=table)
