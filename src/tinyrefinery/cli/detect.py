"""`tinyrefinery detect`: train, measure and use detectors."""

from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.cli.options import RecipeName, RunName, Runs, Seeds, Smoke, a_folder

app = typer.Typer(
    no_args_is_help=True,
    help="Find objects: train, evaluate and draw detectors (SSD on any backbone).",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Run = Annotated[
    Path,
    typer.Argument(help="A run of `detect train`, or one of its stages, e.g. runs/raccoon-1a2b."),
]
Split = Annotated[str, typer.Option(help="train, validation or test.")]


@app.command()
def train(
    recipe: RecipeName,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Changes, e.g. data.source.root=photos.zip training.epochs=30."),
    ] = None,
    seeds: Seeds = 1,
    name: RunName = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse data with faulty boxes and the like.")
    ] = False,
    runs: Runs = Path("runs"),
    smoke: Smoke = False,
) -> None:
    """Train the detector of RECIPE, if it isn't finished, and measure it. Goes on when stopped."""
    from tinyrefinery.cli.run import train_seeds
    from tinyrefinery.recipe.detection import load_detection
    from tinyrefinery.recipe.shipped import locate

    path = locate(recipe)
    stricter = ["data.source.strict=true"] if strict and not smoke else []
    loaded = load_detection(path, [*(overrides or []), *stricter])
    train_seeds(loaded, path, seeds, name, runs, smoke=smoke)


@app.command()
def evaluate(
    run: Run,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Other images or thresholds, e.g. data.source.root=new.zip."),
    ] = None,
    split: Split = "test",
) -> None:
    """Print what was measured; with OVERRIDES, detect anew on the images they name."""
    from rich.console import Console

    from tinyrefinery.cli.outcome import log_progress
    from tinyrefinery.detection.look import detectors, measure_again
    from tinyrefinery.reports.detectors import class_table, detector_table

    _check_split(split)
    stages = detectors(run)
    measured = {stage.key: stage.evaluation for stage in stages}
    if overrides:
        log_progress()
        measured = measure_again(run, overrides, split)
    console = Console(emoji=False)  # a path may hold :x:
    console.print(detector_table(stages, measured, split))
    console.print(class_table(stages, measured, split))


@app.command()
def draw(
    run: Run,
    images: Annotated[
        list[Path] | None,
        typer.Argument(help="Image files; none: a contact sheet of a split, with the given boxes."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write to; the run folder's `drawn` if not given.", callback=a_folder
        ),
    ] = None,
    score: Annotated[
        float, typer.Option(min=0, max=1, help="Least probability of a box that is drawn.")
    ] = 0.5,
    seed: Annotated[
        int | None, typer.Option(help="Which detector; the lowest seed if none.")
    ] = None,
    split: Split = "validation",
    count: Annotated[int, typer.Option(min=1, help="Images on the contact sheet.")] = 16,
) -> None:
    """Draw what a detector finds, on IMAGES or on a contact sheet of one of its own splits."""
    from tinyrefinery.detection.look import draw_files, draw_split

    _check_split(split)
    folder = out or run / "drawn"
    if not images:
        typer.echo(draw_split(run, split, folder, seed=seed, score=score, count=count))
        return
    for path, boxes in draw_files(run, images, folder, seed=seed, score=score):
        typer.echo(f"{path}: {boxes} box{'' if boxes == 1 else 'es'}")


def _check_split(split: str) -> None:
    from tinyrefinery.errors import DataError
    from tinyrefinery.names import nearest

    splits = ("train", "validation", "test")
    if split not in splits:
        raise DataError(
            f"no split is named '{split}'.{nearest(split, splits)} Known: {', '.join(splits)}."
        )
