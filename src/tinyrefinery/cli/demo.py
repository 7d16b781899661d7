"""`tinyrefinery demo`: street numbers in, a network for a microcontroller out, in a few minutes."""

import os
import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import Runs, option
from tinyrefinery.cli.run import train_seeds
from tinyrefinery.errors import RefineryError
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.shipped import locate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyrefinery.fitting.ship_run import ShippedRun
    from tinyrefinery.pages.narrow_tables import FittedTable
    from tinyrefinery.pages.run_tables import StageGroup
    from tinyrefinery.runs.run_folder import Run

RECIPE, NAME = "starter/demo", "demo"
FLASH, RAM = "100kB", "64kB"
_LABEL, _WIDTH = 10, 80  # columns of the words before a line, and of a line


def demo(
    seeds: Annotated[int, option("N", "Number of seeds.", min=1)] = 4,
    runs: Runs = Path("runs"),
) -> None:
    """Train, refine and ship a small network on the embedded data.

    The data are synthetic street numbers. Small networks learn from given and from refined labels.
    The best one within 100 kB of flash and 64 kB of RAM is quantized to int8 and checked. Nothing
    is downloaded. The run folder is `demo`. Rerun to resume.
    """
    path = locate(RECIPE)
    cores = min(os.cpu_count() or 1, seeds)
    train_seeds(path, load_recipe(path), seeds, NAME, runs, cores, smoke=False, ending=finish)


def finish(folder: Path) -> None:
    """Write the run's report, ship its best network, and show what came out."""
    from tinyrefinery.fitting.run_page import write_run_page
    from tinyrefinery.fitting.ship_run import ship_run
    from tinyrefinery.fitting.shipping import usable_target
    from tinyrefinery.options.budget import read_budget
    from tinyrefinery.pages.run_tables import write_results
    from tinyrefinery.reports.page import write_page
    from tinyrefinery.runs.run_folder import open_run

    run = open_run(folder)
    report = write_page([run])
    write_results(run)
    try:
        target = usable_target(_say, install=False)
    except RefineryError as error:  # the training is not lost
        _show_run(run)
        _print("File", f"none. {error}. Then rerun this command")
        _print("Page", str(report))
        return
    shipped = ship_run(run, read_budget(FLASH, RAM, None), target, _say)
    page = write_run_page(shipped, report.name)
    _show_run(run)
    _show_shipped(shipped)
    _print("Page", str(page))


def _show_run(run: "Run") -> None:
    """The networks, and what refining changed."""
    from tinyrefinery.pages.run_tables import comparisons, gain_line, group_stages

    groups = group_stages([run])
    streams.console().print(_table(groups))
    streams.echo("")
    for number, each in enumerate(comparisons(groups)):
        _print("" if number else "Refining", gain_line(each))


def _table(groups: "Sequence[StageGroup]") -> "FittedTable":
    """One line per network. The whole table is in the report."""
    from tinyrefinery.pages.numbers import nats, percent
    from tinyrefinery.pages.plain_table import plain_table

    table = plain_table(
        {"network": 12, "labels from": 12},
        ("train top-1", "test top-1", "label KL", "n"),
        "Percent, mean ± standard deviation over n seeds. Label KL: nats between the\n"
        "labels of crops and the true ones.",
    )
    for group in groups:
        shares = [percent(group.spread(name)) for name in ("train_top1", "held_out_top1")]
        quality = nats(group.spread("label_kl"))
        table.add_row(group.name, group.first.labels, *shares, quality, str(len(group.runs)))
    return table


def _show_shipped(shipped: "ShippedRun") -> None:
    """What ships."""
    from tinyrefinery.fitting.fit_outcome import accuracy_line, costs, drop_line

    _print("File", str(shipped.artifact))
    _print("Accuracy", accuracy_line(shipped))
    for cost in costs(shipped):
        _print("" if cost.title == "File" else cost.title, str(cost))
    if shipped.shipped.bundle is None:
        _print("RAM", "not known, as ONNX files do not plan their memory")
    replayed = f"{shipped.shipped.vectors} test vectors predict the same in its own runtime"
    _print("Verified", ". ".join(filter(None, (replayed, drop_line(shipped)))))
    for note in shipped.notes:
        _print("Note", note)


def _print(label: str, text: str) -> None:
    """A line with a word before it, folded to the width of the terminal."""
    width = max(40, min(_WIDTH, shutil.get_terminal_size().columns)) - _LABEL
    folded = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    for number, line in enumerate(folded):
        streams.echo(f"{'' if number else label:<{_LABEL}}{line}")


def _say(text: str) -> None:
    streams.echo(text, err=True)
