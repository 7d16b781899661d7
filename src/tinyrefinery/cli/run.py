"""`tinyrefinery run` and `reproduce`: train the stages of a recipe, or the rows of a table."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.cli.options import (
    Overrides,
    Processes,
    RecipeName,
    RunName,
    Runs,
    Seeds,
    Smoke,
)
from tinyrefinery.cli.outcome import show
from tinyrefinery.cli.progress import log_progress
from tinyrefinery.errors import RecipeError, RefineryError
from tinyrefinery.recipe.detection import is_detection_table
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.shipped import locate
from tinyrefinery.recipe.smoke import smoke as shrink
from tinyrefinery.recipe.table import at_scale, check_rows, load_table, table_facts, table_rows


def run(
    recipe: RecipeName,
    overrides: Overrides = None,
    seeds: Seeds = 1,
    name: RunName = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Fail on broken images or empty classes instead of skipping them."
        ),
    ] = False,
    runs: Runs = Path("runs"),
    processes: Processes = 1,
    smoke: Smoke = False,
) -> None:
    """Train a recipe and write a report. Rerun to resume.

    Finished stages are kept. Only unfinished stages are trained.
    """
    path = locate(recipe)
    stricter = ["data.source.strict=true"] if strict and not smoke else []
    loaded = load_recipe(path, [*(overrides or []), *stricter])
    if smoke:
        loaded = shrink(loaded)
    from tinyrefinery.runs.plan import run_folder, seeded

    stem = f"{path.stem}-smoke" if smoke else path.stem
    folder = runs / name if name else run_folder(runs, stem, loaded)
    _train([("", each) for each in seeded(loaded, seeds)], folder, processes)


def reproduce(
    table: Annotated[str, typer.Argument(help="Table file, or name of a shipped table.")],
    overrides: Overrides = None,
    row: Annotated[
        list[str] | None,
        typer.Option(metavar="ROW", help="Row to train. Repeatable.", show_default="all rows"),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            metavar="SCALE",
            help="Train the rows on the data of one of the table's scales.",
            show_default="the table's own data",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Number of seeds, counting up from 0.",
            show_default="the table's seeds",
        ),
    ] = None,
    name: RunName = None,
    runs: Runs = Path("runs"),
    processes: Processes = 1,
    smoke: Smoke = False,
) -> None:
    """Train the rows of a paper's table. Rerun to resume.

    Stages that rows share are trained once. OVERRIDES apply to every row.
    """
    path = locate(table)
    if is_detection_table(path):
        from tinyrefinery.cli.detection_table import reproduce_detectors

        if processes > 1:
            raise RecipeError(
                f"{path}: detectors are trained by one process; leave --processes out"
            )
        given = (overrides or [], row or [], scale, seeds, name, runs)
        return reproduce_detectors(path, *given, smoke=smoke)
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
    # The digest is that of all rows, so that --row and --seeds go on in the table's folder.
    _train(chosen, runs / (name or f"{stem}-{facts['digest'][:8]}"), processes, facts)


def _train(jobs: list, folder: Path, processes: int, table: dict | None = None) -> None:
    log_progress()
    from tinyrefinery.execution.run import run as run_jobs
    from tinyrefinery.runs.plan import Job

    typer.echo(f"run folder: {folder}", err=True)
    try:
        jobs = [Job(recipe, row) for row, recipe in jobs]
        run_jobs(jobs, folder, processes=processes, table=table)
    except (RefineryError, KeyboardInterrupt):
        # What was finished is worth a report; the reason for stopping is what must be told.
        with suppress(RefineryError):
            show([folder])
        raise
    if os.environ.get("LOCAL_RANK", "0") == "0":  # of several processes one reports
        show([folder])
