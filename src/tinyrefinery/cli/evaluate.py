"""`tinyrefinery evaluate`: the measures of a run's networks, on its own data or on other."""

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder, e.g. runs/demo.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Other data, e.g. data.source.root=photos-of-this-week/."),
    ] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    categories: Annotated[
        bool, typer.Option("--categories", help="Also each category, the worst first.")
    ] = False,
) -> None:
    """Print what was measured; with OVERRIDES, predict anew on the data they name."""
    from rich.console import Console

    from tinyrefinery.cli.outcome import log_progress
    from tinyrefinery.reports.measures import category_table, measure_table
    from tinyrefinery.runs.folder import open_run

    folder = open_run(run)
    measured = {stage.key: stage.evaluation for stage in folder.stages}
    if overrides:
        log_progress()
        from tinyrefinery.networks.reevaluation import reevaluate

        measured = reevaluate(run, overrides)
    console = Console(emoji=False)  # a path may hold :x:
    console.print(measure_table(folder.stages, measured, split))
    if categories:
        console.print(category_table(folder.stages, measured))
