"""`tinyrefinery detect`: train, evaluate and draw detectors."""

from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import (
    DataOverrides,
    Overrides,
    RecipeName,
    Row,
    RunName,
    Runs,
    Seed,
    Seeds,
    Smoke,
    Split,
    option,
    output_folder,
)
from tinyrefinery.cli.progress import log_progress
from tinyrefinery.cli.run import strictness, train_seeds
from tinyrefinery.errors import DataError, did_you_mean
from tinyrefinery.files import check_writable
from tinyrefinery.recipe.detection import load_detection
from tinyrefinery.recipe.shipped import locate
from tinyrefinery.reports.detectors import class_table, detector_table

Run = Annotated[
    Path, typer.Argument(help="Run or stage folder of a detector, e.g. runs/raccoon-1a2b.")
]


def train(
    recipe: RecipeName,
    overrides: Overrides = None,
    seeds: Seeds = 1,
    name: RunName = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail on faulty boxes instead of skipping them.")
    ] = False,
    runs: Runs = Path("runs"),
    smoke: Smoke = False,
) -> None:
    """Train and evaluate the detector of a recipe. Rerun to resume."""
    path = locate(recipe)
    loaded = load_detection(path, [*(overrides or []), *strictness(strict, smoke)])
    train_seeds(path, loaded, seeds, name, runs, smoke=smoke)


def evaluate(
    run: Run,
    overrides: DataOverrides = None,
    split: Split = "test",
) -> None:
    """Show a detector's metrics, or re-evaluate it on other data.

    OVERRIDES may also change thresholds.
    """
    from tinyrefinery.detection.finished_detectors import detectors, measure_again

    _check_split(split)
    stages = detectors(run)
    measured = {stage.key: stage.evaluation for stage in stages}
    if overrides:
        log_progress()
        measured = measure_again(run, overrides, split)
    console = streams.console()
    console.print(detector_table(stages, measured, split))
    console.print(class_table(stages, measured, split))


def draw(
    run: Run,
    images: Annotated[
        list[Path] | None,
        typer.Argument(help="Image files.", show_default="a contact sheet of SPLIT"),
    ] = None,
    out: Annotated[
        Path | None, output_folder("Folder to write.", default="`drawn` in the run folder")
    ] = None,
    score: Annotated[
        float, option("P", "Smallest probability of a drawn box, 0 to 1.", min=0, max=1)
    ] = 0.5,
    seed: Seed = None,
    row: Row = None,
    split: Split = "validation",
    count: Annotated[int, option("N", "Number of images on the contact sheet.", min=1)] = 16,
) -> None:
    """Draw predicted boxes on images.

    Without IMAGES, a contact sheet shows images of SPLIT with predicted and true boxes.
    """
    from tinyrefinery.detection.finished_detectors import choose_detector, draw_files, draw_split

    _check_split(split)
    stage, folder = choose_detector(run, seed, row), out or run / "drawn"
    if out is None:
        check_writable(folders=[folder], remedy="Choose another path: --out FOLDER")
    if not images:
        streams.echo(str(draw_split(stage, split, folder, score=score, count=count)))
        return
    for path, boxes in draw_files(stage, images, folder, score=score):
        streams.echo(f"{path}: {boxes} box{'' if boxes == 1 else 'es'}")


def _check_split(split: str) -> None:
    splits = ("train", "validation", "test")
    if split not in splits:
        raise DataError(
            f"no split is named '{split}'.{did_you_mean(split, splits)} Known: {', '.join(splits)}."
        )
