"""`tinyrefinery report`: the HTML report of one or more runs."""

from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.cli.options import option, output_file
from tinyrefinery.cli.outcome import show


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, e.g. runs/demo.")],
    out: Annotated[
        Path | None, output_file("HTML file to write.", default="report.html in the first run")
    ] = None,
    baseline: Annotated[
        str | None,
        option(
            "STAGE",
            "Stage that gains are relative to.",
            default="the same network trained on the original labels",
        ),
    ] = None,
    figures: Annotated[
        bool, typer.Option("--figures", help="Add Figures 4 to 8 of the Label Refinery paper.")
    ] = False,
    pareto: Annotated[
        bool, typer.Option("--pareto", help="Add accuracy against cost, with published networks.")
    ] = False,
) -> None:
    """Write a self-contained HTML report on one or more runs.

    Also writes results.csv in each run folder and prints the table.
    """
    show(runs, out, baseline, figures=figures, pareto=pareto)
