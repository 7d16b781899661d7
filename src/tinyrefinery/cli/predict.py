"""`tinyrefinery predict`: the classes of pictures, with probabilities."""

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import Row, Seed, Stage, option, output_file
from tinyrefinery.errors import DataError
from tinyrefinery.files import check_writable

if TYPE_CHECKING:
    from tinyrefinery.prediction.predicted import PicturePredictions
    from tinyrefinery.prediction.predictor import NetworkPredictor

LISTED = 20
"""Broken pictures that the terminal lists. Files have all of them."""


def predict(
    model: Annotated[
        str, typer.Argument(help="Run, stage folder, network, ONNX or LiteRT file, timm:NAME.")
    ],
    pictures: Annotated[
        list[Path] | None, typer.Argument(help="Picture files, and folders of pictures.")
    ] = None,
    top: Annotated[int, option("K", "Number of classes to list per picture.", min=1)] = 3,
    csv: Annotated[Path | None, output_file("CSV file to write, one line per picture.")] = None,
    json: Annotated[Path | None, output_file("JSON file to write.")] = None,
    camera: Annotated[
        int | None, option("N", "Camera to read instead, from 0. Needs OpenCV.", min=0)
    ] = None,
    frames: Annotated[
        int | None, option("N", "Frames to read from the camera.", default="until Ctrl-C", min=1)
    ] = None,
    stage: Stage = None,
    seed: Seed = None,
    row: Row = None,
    classes: Annotated[
        Path | None, option("FILE", "Class names of the outputs, one per line. - means ignore.")
    ] = None,
    size: Annotated[
        int | None, option("PIXELS", "Input size of a network whose file lacks it.", min=1)
    ] = None,
    weights: Annotated[Path | None, option("FILE", "Weights of a timm model.")] = None,
) -> None:
    """Predict the classes of pictures, with probabilities.

    Folders are searched at any depth. Pictures that cannot be read are listed, and the exit code
    is then 2.
    """
    check_writable(files=[place for place in (csv, json) if place is not None])
    if bool(pictures) == (camera is not None):
        raise DataError(
            "give pictures or a camera, e.g. tinyrefinery predict runs/demo photos/, or --camera 0"
        )
    if frames is not None and camera is None:
        raise DataError("--frames counts the frames of a camera: give --camera N, or leave it out")
    from tinyrefinery.prediction.outputs import read_classes
    from tinyrefinery.prediction.picture_files import find_pictures
    from tinyrefinery.prediction.predict_pictures import predict_files
    from tinyrefinery.prediction.predictor import open_predictor

    files = find_pictures(pictures or [])
    names = None if classes is None else read_classes(classes)
    predictor = open_predictor(
        model, classes=names, size=size, weights=weights, stage=stage, seed=seed, row=row
    )
    if camera is not None:
        found = _watch(predictor, camera, frames, top)
    else:
        found = predict_files(predictor, files)
        _print(found, top)
    if csv is not None:
        found.write_csv(csv, top)
    if json is not None:
        found.write_json(json, top)
    if found.broken:
        raise typer.Exit(DataError.exit_code)


def _print(found: "PicturePredictions", top: int) -> None:
    from tinyrefinery.prediction.terminal_table import prediction_table

    console = streams.console(highlight=False)
    if len(found):
        console.print(prediction_table(found, top))
    notes = [f"{each.where}: {each.what}" for each in found.ignored]
    notes += [f"{each.where}: broken: {each.what}" for each in found.broken[:LISTED]]
    if len(found.broken) > LISTED:
        notes.append(f"and {len(found.broken) - LISTED:,} more broken pictures: use --csv FILE")
    count = len(found) + len(found.broken)
    notes.append(f"{found.network}: {len(found):,} of {count:,} pictures predicted")
    streams.print_lines(console, *notes)


def _watch(
    predictor: "NetworkPredictor", camera: int, frames: int | None, top: int
) -> "PicturePredictions":
    """Print one line per frame. Ctrl-C ends it like the last frame."""
    from tinyrefinery.prediction.camera import camera_frames
    from tinyrefinery.prediction.predict_pictures import predict_array
    from tinyrefinery.prediction.predicted import joined

    parts = []
    try:
        for number, pixels in enumerate(islice(camera_frames(camera), frames)):
            name = f"camera {camera}, frame {number}"
            found = predict_array(predictor, pixels, name)
            best = ", ".join(f"{label} {share:.3f}" for label, share in found.top(top)[0])
            streams.print_lines(streams.console(), f"{name}: {best}")
            parts.append((found.paths, found.probabilities))
    except KeyboardInterrupt:
        streams.echo("")
    if not parts:
        raise DataError(f"camera {camera}: delivered no frame")
    return joined(predictor.name, predictor.classes, parts)
