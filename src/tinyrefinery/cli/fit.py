"""`tinyrefinery fit`: pictures and a budget in, the best network that fits out."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import option, output_folder

if TYPE_CHECKING:
    from tinyrefinery.fitting.fit_options import FitOptions
    from tinyrefinery.fitting.fit_pictures import Fitted


def fit(
    pictures: Annotated[
        str, typer.Argument(help="Folder with one folder of pictures per class, or Parquet files.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Options of the data source, e.g. group=home."),
    ] = None,
    flash: Annotated[
        str | None, option("BYTES", "Most flash, e.g. 100kB.", default="the device's, else 100kB")
    ] = None,
    ram: Annotated[
        str | None, option("BYTES", "Most RAM, e.g. 64kB.", default="the device's, else 64kB")
    ] = None,
    macs: Annotated[
        str | None, option("N", "Most multiply-accumulates, e.g. 15M.", default="no limit")
    ] = None,
    device: Annotated[
        str | None,
        option("NAME", "Board. Half of its memory is the budget. bench --devices lists them."),
    ] = None,
    to: Annotated[str, option("TARGET", "litert (an int8 file) or packed (binary).")] = "litert",
    hours: Annotated[float, option("HOURS", "Most time for everything.")] = 1.0,
    refiner: Annotated[
        str | None,
        option(
            "NETWORK",
            "Larger network whose labels teach the small one: run, file or timm:NAME.",
            default="pretrained weights on this machine, else trained here",
        ),
    ] = None,
    refiner_weights: Annotated[
        str | None, option("FILE", "Weights of --refiner timm:NAME, instead of a download.")
    ] = None,
    seed: Annotated[int, option("N", "Seed of weights, order and crops.", min=0)] = 0,
    out: Annotated[
        Path | None,
        output_folder("Folder for everything.", default="fit/NAME, of the pictures"),
    ] = None,
) -> None:
    """Train the best small network for pictures and a budget.

    Networks that do not fit are left out before anything is trained. The best of the others is
    trained, quantized to int8 and checked. The same command resumes an interrupted search. With
    --to packed, the networks are binary, and a packed file is written.
    """
    from tinyrefinery.fitting.fit_options import FitOptions
    from tinyrefinery.options.budget import read_budget

    options = FitOptions(
        budget=read_budget(flash, ram, macs),
        device=device,
        to=to,
        hours=hours,
        seed=seed,
        refiner=refiner,
        refiner_weights=refiner_weights,
    )
    _fit(pictures, options, out, overrides or [])


def _fit(pictures: str, options: "FitOptions", out: Path | None, words: list[str]) -> None:
    """Search, and show the result."""
    from tinyrefinery.fitting.fit_page import write_fit_page
    from tinyrefinery.fitting.fit_pictures import fit_folder, fit_pictures

    began = time.monotonic()

    def say(text: str) -> None:
        """Print a line with the minutes since the start."""
        minutes, seconds = divmod(round(time.monotonic() - began), 60)
        streams.echo(f"{minutes:3}:{seconds:02}  {text}", err=True)

    fitted = fit_pictures(pictures, options, out or fit_folder(pictures), words, say)
    page = write_fit_page(fitted)
    for line in _lines(fitted, page):
        streams.echo(line)


def _lines(fitted: "Fitted", page: Path) -> list[str]:
    """The result, for people."""
    from tinyrefinery.fitting.fit_outcome import (
        accuracy_line,
        costs,
        drop_line,
        gain_line,
        guessing,
        next_commands,
    )

    lines = [f"{fitted.artifact}: {accuracy_line(fitted)}", *map(str, costs(fitted))]
    lines += [line for line in (*guessing(fitted), drop_line(fitted), gain_line(fitted)) if line]
    lines += [f"{what}: {command}" for command, what in next_commands(fitted)]
    return [*lines, f"Page: {page}"]
