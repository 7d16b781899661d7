"""Arguments and options that several commands share, and the check of output paths."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tinyrefinery.errors import DataError
from tinyrefinery.files import check_writable, remove_half_written


def option(metavar: str, help: str, *names: str, default: str = "", **limits: Any) -> Any:
    """An option that takes a value.

    Args:
        metavar: the kind of value in the help, in capitals.
        help: the sentence in the help.
        names: the option's names. None: the parameter's own.
        default: a default that is not a value, in words.
        limits: `min` and `max`, or a `callback`.
    """
    return typer.Option(*names, metavar=metavar, help=help, show_default=default or True, **limits)


def output_file(help: str, *names: str, default: str = "") -> Any:
    """An option that names a file to write. A path that is not writable is refused at once.

    What a killed command left of this file is removed.
    """
    return option("FILE", help, *names, default=default, callback=a_file)


def output_folder(help: str, *names: str, default: str = "", shared: bool = False) -> Any:
    """An option that names a folder to write into, refused at once if that is not writable.

    What a killed command left half written in it is removed. If the folder is `shared`, other
    commands may be writing there, so only what is an hour old is removed.
    """
    callback = _a_shared_folder if shared else _a_folder
    return option("FOLDER", help, *names, default=default, callback=callback)


def a_file(path: Path | None, param: typer.CallbackParam) -> Path | None:
    """Callback of arguments that name a file to write."""
    check_writable(files=[path], remedy=_another(param))
    remove_half_written(files=[path])
    return path


def _a_folder(path: Path | None, param: typer.CallbackParam) -> Path | None:
    check_writable(folders=[path], remedy=_another(param))
    remove_half_written(folders=[path])
    return path


def _a_shared_folder(path: Path | None, param: typer.CallbackParam) -> Path | None:
    check_writable(folders=[path], remedy=_another(param))
    remove_half_written(shared=[path])
    return path


def _another(param: typer.CallbackParam) -> str:
    """The remedy where a place that an option names is not writable."""
    if param.param_type_name == "argument":
        return "Choose another path"
    return f"Choose another path: {param.opts[-1]} {param.metavar}"


def check_default(*paths: Path | None, other: str) -> None:
    """Check that the files that a command writes by default are writable.

    Args:
        paths: the files; None entries are skipped.
        other: the option that names another place, e.g. `--out FILE`.

    Raises:
        StorageError: for the first one without permission.
    """
    check_writable(files=paths, remedy=f"Choose another path: {other}")


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
    list[str] | None, typer.Argument(help="Recipe changes, e.g. data.source.root=photos/ seed=1.")
]
Seeds = Annotated[int, option("N", "Number of seeds, counting up from the recipe's.", min=1)]
RunName = Annotated[
    str | None, option("NAME", "Name of the run folder.", default="the file's name and a hash")
]
Runs = Annotated[Path, output_folder("Folder that holds run folders.", shared=True)]
Processes = Annotated[int, option("N", "Number of parallel processes.", min=1)]
Smoke = Annotated[
    bool, typer.Option("--smoke", help="Dry run: one epoch on 64 pictures or synthetic images.")
]

# Which network, and which data it predicts on.
NetworkPath = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="Run folder, stage folder, network, ONNX or LiteRT file."),
]
DataOverrides = Annotated[
    list[str] | None, typer.Argument(help="Other data, e.g. data.source.root=new-photos/.")
]
Stage = Annotated[str | None, option("STAGE", "Stage of the run.", default="the last finished")]
Seed = Annotated[int | None, option("SEED", "Seed of the run.", default="the lowest")]
Row = Annotated[str | None, option("ROW", "Row of a table's run. Needed if several fit.")]
Stages = Annotated[
    list[str] | None, option("STAGE", "Stage to use. Repeatable.", "--stage", default="all")
]
Like = Annotated[
    Path | None, option("RUN", "Run or network file that the ONNX or LiteRT file was made from.")
]
Split = Annotated[str, option("SPLIT", "Split to use: train, validation or test.")]

# Data tests.
DATA_TESTS = Path("data_tests.yaml")
Tests = Annotated[Path, option("FILE", "Data-test file.", "--tests")]

# Refiners.
Refiners = Annotated[
    list[str],
    typer.Argument(
        help="Run folders, stage folders, network files or timm:NAME, then recipe changes."
    ),
]
Recipe = Annotated[
    str | None,
    option("RECIPE", "Recipe that defines data and crops.", default="that of the first run"),
]
Crops = Annotated[int, option("N", "Crops per image.", min=2)]
Images = Annotated[int, option("N", "Maximum number of images per split.", min=2)]
LabelingBatchNorm = Annotated[
    BatchNorm, option("MODE", "Batch-norm mode of the refiner: batch, running or calibrated.")
]
BnGroup = Annotated[
    int | None,
    option("N", "Crops that share batch statistics.", default="the recipe's batch size", min=2),
]
Human = Annotated[
    Path | None, option("FILE", "Parquet file of human votes or probabilities, one row per image.")
]
HumanKey = Annotated[
    str | None,
    option(
        "COLUMN", "Column of that file that matches a column of the data.", default="path or id"
    ),
]
HumanColumn = Annotated[
    str | None,
    option("COLUMN", "Column of that file with one number per class.", default="the usual names"),
]

# What is published with a model.
ModelLicense = Annotated[
    str | None,
    option("NAME", "License of the network, e.g. apache-2.0.", default="as recorded, else unknown"),
]
DataLicense = Annotated[
    str | None, option("NAME", "License of its data.", default="as recorded, else unknown")
]
Exports = Annotated[Path, option("FOLDER", "Folder of artifacts made from the network.")]

# Emulated processors.
Tflm = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        envvar="TINYREFINERY_TFLM",
        help="Source tree of tflite-micro, for --on.",
    ),
]


def tflm_tree(on: Sequence[str] | None, tflm: Path | None) -> Path | None:
    """The source tree for `--on`; None without it.

    Raises:
        DataError: if it is not named.
    """
    if on and tflm is None:
        raise DataError(
            "--on needs the sources of LiteRT for Microcontrollers. Clone "
            "https://github.com/tensorflow/tflite-micro and name the folder: --tflm FOLDER"
        )
    return tflm if on else None


# What a model may cost on a device.
Flash = Annotated[str | None, option("AMOUNT", "Most bytes of the LiteRT file, e.g. 100kB.")]
Ram = Annotated[str | None, option("AMOUNT", "Most bytes of its arena, e.g. 64KiB.")]
Macs = Annotated[str | None, option("AMOUNT", "Most multiply-accumulates per image, e.g. 15M.")]
Cycles = Annotated[
    str | None,
    option("AMOUNT", "Most cycles of an Ethos-U55 per image, e.g. 300k@ethos-u55-128, by Vela."),
]
