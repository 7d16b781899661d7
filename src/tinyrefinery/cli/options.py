"""Arguments and options that several commands share, and the check of output paths."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.files import check_places


def a_file(path: Path | None) -> Path | None:
    """Callback of options that name a file to write: refuses a path that is not writable."""
    check_places(files=[path])
    return path


def a_folder(path: Path | None) -> Path | None:
    """Callback of options that name a folder to write into."""
    check_places(folders=[path])
    return path


class BatchNorm(StrEnum):
    """Which statistics the refiner's batch normalization uses."""

    batch = "batch"
    running = "running"
    calibrated = "calibrated"


# Recipes and training.
RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="Recipe file, or name of a shipped recipe.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="Recipe changes, e.g. data.source.root=photos/ seed=1."),
]
Seeds = Annotated[
    int, typer.Option(metavar="N", min=1, help="Number of seeds, counting up from the recipe's.")
]
RunName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Name of the run folder.", show_default="the file's name and a hash"
    ),
]
Runs = Annotated[
    Path, typer.Option(metavar="FOLDER", help="Folder that holds run folders.", callback=a_folder)
]
Processes = Annotated[int, typer.Option(metavar="N", min=1, help="Number of parallel processes.")]
Smoke = Annotated[bool, typer.Option("--smoke", help="Dry run: one epoch on tiny synthetic data.")]

# Which network, and which data it predicts on.
NetworkPath = Annotated[
    Path, typer.Argument(metavar="RUN", help="Run folder, stage folder, network or ONNX file.")
]
DataOverrides = Annotated[
    list[str] | None, typer.Argument(help="Other data, e.g. data.source.root=new-photos/.")
]
Stage = Annotated[
    str | None,
    typer.Option(metavar="STAGE", help="Stage of the run.", show_default="the last finished"),
]
Seed = Annotated[
    int | None, typer.Option(metavar="SEED", help="Seed of the run.", show_default="the lowest")
]
Row = Annotated[
    str | None, typer.Option(metavar="ROW", help="Row of a table's run. Needed if several fit.")
]
Stages = Annotated[
    list[str] | None,
    typer.Option("--stage", metavar="STAGE", help="Stage to use. Repeatable.", show_default="all"),
]
Like = Annotated[
    Path | None,
    typer.Option(metavar="RUN", help="Run or network file that the ONNX file was exported from."),
]
Split = Annotated[
    str, typer.Option(metavar="SPLIT", help="Split to use: train, validation or test.")
]

# Data tests.
DATA_TESTS = Path("data_tests.yaml")
Tests = Annotated[Path, typer.Option("--tests", metavar="FILE", help="Data-test file.")]

# Refiners.
Refiners = Annotated[
    list[str],
    typer.Argument(
        help="Run folders, stage folders, network files or timm:NAME, then recipe overrides, "
        "e.g. data.source.root=photos/."
    ),
]
Recipe = Annotated[
    str | None,
    typer.Option(
        metavar="RECIPE",
        help="Recipe that defines data and crops.",
        show_default="that of the first run",
    ),
]
Crops = Annotated[int, typer.Option(metavar="N", min=2, help="Crops per image.")]
Images = Annotated[
    int, typer.Option(metavar="N", min=2, help="Maximum number of images per split.")
]
LabelingBatchNorm = Annotated[
    BatchNorm,
    typer.Option(
        metavar="MODE", help="Batch-norm mode of the refiner: batch, running or calibrated."
    ),
]
BnGroup = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=2,
        help="Crops that share batch statistics.",
        show_default="the recipe's batch size",
    ),
]
Human = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Parquet file of human votes or probabilities, one row per image."
    ),
]
HumanKey = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column of that file that matches a column of the data.",
        show_default="path or id",
    ),
]
HumanColumn = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column of that file with one number per class.",
        show_default="the usual names",
    ),
]
