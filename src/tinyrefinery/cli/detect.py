"""`tinyrefinery detect`: train, evaluate and draw detectors."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tinyrefinery.cli.options import (
    DataOverrides,
    Overrides,
    RecipeName,
    RunName,
    Runs,
    Seed,
    Seeds,
    Smoke,
    Split,
    a_folder,
)
from tinyrefinery.cli.progress import log_progress
from tinyrefinery.errors import DataError
from tinyrefinery.names import nearest
from tinyrefinery.recipe.detection import load_detection, smoke_detection, split_overrides
from tinyrefinery.recipe.shipped import locate

Run = Annotated[Path, typer.Argument(help="Run folder of `detect train`, e.g. runs/raccoon-1a2b.")]


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
    stricter = ["data.source.strict=true"] if strict and not smoke else []
    own, start = split_overrides(overrides or [])
    loaded = load_detection(path, [*own, *stricter])
    if smoke:
        loaded, start = smoke_detection(loaded), []
    log_progress()
    from tinyrefinery.detection.look import finished, write_results
    from tinyrefinery.detection.run import run_detection
    from tinyrefinery.runs.plan import run_folder

    stem = f"{path.stem}-smoke" if smoke else path.stem
    folder = runs / name if name else run_folder(runs, stem, loaded)
    typer.echo(f"run folder: {folder}", err=True)
    run_detection(loaded, folder, seeds=seeds, start=start)
    measured = {each.seed: each.evaluation for each in finished(folder)}
    _show(measured, "test" if "test" in next(iter(measured.values())) else "validation")
    typer.echo(f"Results: {write_results(folder)}")
    for each in finished(folder):
        typer.echo(f"Seed {each.seed}: {each.folder}")


def evaluate(
    run: Run,
    overrides: DataOverrides = None,
    split: Split = "test",
) -> None:
    """Show a detector's metrics, or re-evaluate it on other data.

    OVERRIDES may also change thresholds.
    """
    from tinyrefinery.detection.look import evaluate_anew, finished

    _known(split)
    measured = {each.seed: each.evaluation for each in finished(run)}
    if overrides:
        tell = partial(typer.echo, err=True)
        measured = evaluate_anew(run, overrides, split, say=tell)
    _show(measured, split)


def draw(
    run: Run,
    images: Annotated[
        list[Path] | None,
        typer.Argument(help="Image files.", show_default="a contact sheet of SPLIT"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder to write.",
            show_default="`drawn` in the run folder",
            callback=a_folder,
        ),
    ] = None,
    score: Annotated[
        float,
        typer.Option(
            metavar="P", min=0, max=1, help="Smallest probability of a drawn box, 0 to 1."
        ),
    ] = 0.5,
    seed: Seed = None,
    split: Split = "validation",
    count: Annotated[
        int, typer.Option(metavar="N", min=1, help="Number of images on the contact sheet.")
    ] = 16,
) -> None:
    """Draw predicted boxes on images.

    Without IMAGES, a contact sheet shows images of SPLIT with predicted and true boxes.
    """
    from tinyrefinery.detection.look import draw_files, draw_split

    _known(split)
    folder = out or run / "drawn"
    if not images:
        typer.echo(draw_split(run, split, folder, seed=seed, score=score, count=count))
        return
    for path, boxes in draw_files(run, images, folder, seed=seed, score=score):
        typer.echo(f"{path}: {boxes} box{'' if boxes == 1 else 'es'}")


def _known(split: str) -> None:
    splits = ("train", "validation", "test")
    if split not in splits:
        raise DataError(
            f"no split is named '{split}'.{nearest(split, splits)} Known: {', '.join(splits)}."
        )


def _show(measured: Mapping[int, Mapping[str, Any]], split: str) -> None:
    """Print the table of a split with one row per seed, and one with one row per class.

    Raises:
        DataError: when the run has no such split.
    """
    if any(split not in each for each in measured.values()):
        known = [name for name in next(iter(measured.values())) if name != "cost"]
        raise DataError(f"the run has no {split} images; it has: {', '.join(known)}")
    console = Console(emoji=False)  # a path may hold :x:
    console.print(_table(measured, split))
    console.print(_class_table(measured, split))


def _table(measured: Mapping[int, Mapping[str, Any]], split: str) -> Table:
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


def _class_table(measured: Mapping[int, Mapping[str, Any]], split: str) -> Table:
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
