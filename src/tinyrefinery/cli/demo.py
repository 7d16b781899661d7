"""`tinyrefinery demo`: label refinery on the embedded dataset, in a few minutes on a CPU."""

import os
from pathlib import Path
from typing import Annotated

from tinyrefinery.cli.options import Runs, option
from tinyrefinery.cli.run import run


def demo(
    seeds: Annotated[int, option("N", "Number of seeds.", min=1)] = 4,
    runs: Runs = Path("runs"),
) -> None:
    """Train a small chain on the embedded data, in a few minutes.

    The data are synthetic street numbers. The run folder is `demo`. Rerun to resume.
    """
    cores = min(os.cpu_count() or 1, seeds)
    run("starter/demo", seeds=seeds, name="demo", runs=runs, processes=cores)
