"""Arguments and options that several commands have, and the check of places to write to."""

from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.files import check_writable


def a_file(path: Path | None) -> Path | None:
    """Callback of options that name a file to write: a place that can't be is refused at once."""
    check_writable(files=[path])
    return path


def a_folder(path: Path | None) -> Path | None:
    """Callback of options that name a folder to write into."""
    check_writable(folders=[path])
    return path


RecipeName = Annotated[str, typer.Argument(help="A recipe's file, or the name of a shipped one.")]
Seeds = Annotated[int, typer.Option(min=1, help="How many seeds, counted from the recipe's own.")]
RunName = Annotated[
    str | None, typer.Option(help="Name of the run folder; else recipe and a digest of it.")
]
Runs = Annotated[Path, typer.Option(help="Folder that run folders are kept in.", callback=a_folder)]
Like = Annotated[
    Path | None,
    typer.Option(help="Of ONNX files: the run or network file that they were made from."),
]
Smoke = Annotated[
    bool, typer.Option("--smoke", help="Tiny data, one epoch: does it work at all? Needs no data.")
]
Stage = Annotated[str | None, typer.Option(help="Stage of a run; else its last.")]
Seed = Annotated[int | None, typer.Option(help="Seed of a run; else its first.")]
