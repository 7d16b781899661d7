"""`tinyrefinery demo`: label refining on the embedded data set, in a few minutes on a CPU."""

from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.cli.options import Runs


def demo(
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 4,
    runs: Runs = Path("runs"),
) -> None:
    """Train a chain on street numbers, print what refining the labels did, and write a report."""
    import os

    from tinyrefinery.cli.run import run

    cores = min(os.cpu_count() or 1, seeds)
    run("starter/demo", seeds=seeds, name="demo", runs=runs, processes=cores)
