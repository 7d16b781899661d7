"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

RecipeName = Annotated[str, typer.Argument(help="A recipe's file, or the name of a shipped one.")]
Seeds = Annotated[int, typer.Option(min=1, help="How many seeds, counted from the recipe's own.")]
RunName = Annotated[
    str | None, typer.Option(help="Name of the run folder; else recipe and a digest of it.")
]
Runs = Annotated[Path, typer.Option(help="Folder that run folders are kept in.")]
Like = Annotated[
    Path | None,
    typer.Option(help="Of ONNX files: the run or network file that they were made from."),
]
Smoke = Annotated[
    bool, typer.Option("--smoke", help="Tiny data, one epoch: does it work at all? Needs no data.")
]
