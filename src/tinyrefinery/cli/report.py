"""`tinyrefinery report`: the report of one or more runs."""

from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.cli.options import a_file


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, e.g. runs/demo.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="HTML file to write; report.html in the first run if not given.", callback=a_file
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="Stage id to measure gains against; else the same network unrefined."),
    ] = None,
    figures: Annotated[
        bool, typer.Option("--figures", help="Also Figures 4 to 8 of the Label Refinery paper.")
    ] = False,
    pareto: Annotated[
        bool,
        typer.Option(
            "--pareto", help="Also accuracy against cost, with the literature's networks."
        ),
    ] = False,
) -> None:
    """Write one self-contained HTML file about RUNS, results.csv in each, and print the table."""
    from tinyrefinery.cli.outcome import show

    show(runs, out, baseline, figures=figures, pareto=pareto)
