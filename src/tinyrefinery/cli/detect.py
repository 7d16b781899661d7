"""`tinyrefinery detect`: train, measure and use detectors."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinyrefinery.cli.options import RecipeName, RunName, Runs, Seeds, Smoke, a_folder

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(
    no_args_is_help=True,
    help="Find objects: train, evaluate and draw detectors (SSD on any backbone).",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Run = Annotated[
    Path, typer.Argument(help="A run folder of `detect train`, e.g. runs/raccoon-1a2b.")
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
    from tinyrefinery.cli.outcome import log_progress
    from tinyrefinery.recipe.detection import load_detection, smoke_detection, split_overrides
    from tinyrefinery.recipe.shipped import locate

    path = locate(recipe)
    stricter = ["data.source.strict=true"] if strict and not smoke else []
    own, start = split_overrides(overrides or [])
    loaded = load_detection(path, [*own, *stricter])
    if smoke:
        loaded, start = smoke_detection(loaded), []
    log_progress()
    from tinyrefinery.detection.look import finished, write_results
    from tinyrefinery.detection.run import run_detection
    from tinyrefinery.execution.run import run_folder

    stem = f"{path.stem}-smoke" if smoke else path.stem
    folder = runs / name if name else run_folder(runs, stem, loaded)
    typer.echo(f"run folder: {folder}", err=True)
    run_detection(loaded, folder, seeds=seeds, start=start)
    measured = {each.seed: each.evaluation for each in finished(folder)}
    _show(measured, "test" if "test" in next(iter(measured.values())) else "validation")
    typer.echo(f"Results: {write_results(folder)}")
    for each in finished(folder):
        typer.echo(f"Seed {each.seed}: {each.folder}")


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
    from tinyrefinery.detection.look import evaluate_anew, finished

    _known(split)
    measured = {each.seed: each.evaluation for each in finished(run)}
    if overrides:
        tell = partial(typer.echo, err=True)
        measured = evaluate_anew(run, overrides, split, say=tell)
    _show(measured, split)


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

    _known(split)
    folder = out or run / "drawn"
    if not images:
        typer.echo(draw_split(run, split, folder, seed=seed, score=score, count=count))
        return
    for path, boxes in draw_files(run, images, folder, seed=seed, score=score):
        typer.echo(f"{path}: {boxes} box{'' if boxes == 1 else 'es'}")


def _known(split: str) -> None:
    from tinyrefinery.errors import DataError
    from tinyrefinery.names import did_you_mean

    splits = ("train", "validation", "test")
    if split not in splits:
        raise DataError(
            f"no split is named '{split}'.{did_you_mean(split, splits)} Known: {', '.join(splits)}."
        )


def _show(measured: Mapping[int, Mapping[str, Any]], split: str) -> None:
    """Print the table of a split, a line for each seed, and one for each class.

    Raises:
        DataError: when the run has no such split.
    """
    from rich.console import Console

    from tinyrefinery.errors import DataError

    if any(split not in each for each in measured.values()):
        known = [name for name in next(iter(measured.values())) if name != "cost"]
        raise DataError(f"the run has no {split} images; it has: {', '.join(known)}")
    console = Console(emoji=False)  # a path may hold :x:
    console.print(_table(measured, split))
    console.print(_class_table(measured, split))


def _table(measured: Mapping[int, Mapping[str, Any]], split: str) -> "Table":
    from rich.table import Table

    first = next(iter(measured.values()))
    title = f"{split}: {first[split]['images']} images, {first[split]['objects']} objects; percent"
    table = Table(title=title)
    points = ("mAP 11 points", "of median boxes", "mAP area")
    columns = ("seed", *points, "COCO AP", "AP50", "AP75", "parameters", "MACs")
    for column in columns:
        table.add_column(column, justify="right")
    for seed, each in measured.items():
        found, cost = each[split], each["cost"]
        coco = [_percent(found["coco"][name]) for name in ("ap", "ap50", "ap75")]
        voc = [_percent(found[name]) for name in ("map11", "blind_map11", "map_area")]
        sizes = [f"{cost['parameters']:,}", f"{cost['macs'] / 1e6:,.0f}M"]
        table.add_row(str(seed), *voc, *coco, *sizes)
    return table


def _class_table(measured: Mapping[int, Mapping[str, Any]], split: str) -> "Table":
    from rich.table import Table

    table = Table(title="each class, mean over the seeds; percent")
    for column in ("class", "objects", "AP 11 points", "AP area", "recall"):
        table.add_column(column, justify="left" if column == "class" else "right")
    evaluations = [each[split]["classes"] for each in measured.values()]
    for name, first in evaluations[0].items():
        means = [
            sum(each[name][measure] for each in evaluations) / len(evaluations)
            for measure in ("ap11", "ap_area", "recall")
        ]
        table.add_row(name, str(first["objects"]), *map(_percent, means))
    return table


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"
