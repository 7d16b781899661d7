"""`tinyrefinery run` and `reproduce`: train what a recipe or a table says."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.cli.options import RecipeName, RunName, Runs, Seeds, Smoke
from tinyrefinery.errors import RecipeError, RefineryError

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
    from tinyrefinery.recipe.smoke import smoke as shrink

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
    from tinyrefinery.recipe.detection import is_detection_table
    from tinyrefinery.recipe.shipped import locate
    from tinyrefinery.recipe.smoke import smoke as shrink
    from tinyrefinery.recipe.table import at_scale, check_rows, load_table, table_facts, table_rows

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
    from tinyrefinery.cli.outcome import log_progress, show

    log_progress()
    from tinyrefinery.runs.plan import Job
    from tinyrefinery.execution.run import run as run_jobs

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
