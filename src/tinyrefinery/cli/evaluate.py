"""`tinyrefinery evaluate`: metrics of a run's networks, on its own data or on other data."""

from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import DataOverrides, Split
from tinyrefinery.cli.progress import log_progress
from tinyrefinery.reports.measures import category_table, measure_table
from tinyrefinery.runs.run_folder import open_run


def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder, e.g. runs/demo.")],
    overrides: DataOverrides = None,
    split: Split = "test",
    categories: Annotated[
        bool, typer.Option("--categories", help="Add one row per category, worst first.")
    ] = False,
) -> None:
    """Show a run's metrics, or re-evaluate it on other data.

    Without OVERRIDES, the stored metrics are shown. With OVERRIDES, the run's networks predict on
    the data that they name.
    """
    folder = open_run(run)
    measured = {stage.key: stage.evaluation for stage in folder.stages}
    if overrides:
        log_progress()
        from tinyrefinery.networks.reevaluation import reevaluate

        measured = reevaluate(run, overrides)
    console = streams.console()
    console.print(measure_table(folder.stages, measured, split))
    if categories:
        console.print(category_table(folder.stages, measured))
