"""`tinyrefinery reproduce` for tables of detectors."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tinyrefinery.cli.progress import log_progress
from tinyrefinery.pages.numbers import NOTHING, gain_points, kilo, percent
from tinyrefinery.recipe.detection import (
    detection_rows,
    detection_seeds,
    smoke_detection,
    split_overrides,
)
from tinyrefinery.recipe.load import part_hash
from tinyrefinery.recipe.table import at_scale, check_rows, load_table

if TYPE_CHECKING:
    from tinyrefinery.detection.table import DetectorLine


def reproduce_detectors(
    path: Path,
    overrides: Sequence[str],
    rows: Sequence[str],
    scale: str | None,
    seeds: int | None,
    name: str | None,
    runs: Path,
    *,
    smoke: bool,
) -> None:
    """Train the rows of a table of detectors. The arguments are those of `reproduce`."""
    own, start = split_overrides(list(overrides))
    table = at_scale(load_table(path), scale, path)
    check_rows(rows, table, path)
    if seeds is not None:
        table = table.model_copy(update={"seeds": tuple(range(seeds))})
    jobs = detection_rows(table, path, own)
    if smoke:
        jobs, start = [(id, smoke_detection(recipe)) for id, recipe in jobs], []
    log_progress()
    from tinyrefinery.detection.table import detector_lines, run_rows, write_table

    hashes = (part_hash(recipe.model_copy(update={"seed": 0})) for _, recipe in jobs)
    digest = sha256("".join([*hashes, *start]).encode()).hexdigest()[:8]
    stem = "-".join(filter(None, (path.stem, scale, "smoke" if smoke else None)))
    folder = runs / (name or f"{stem}-{digest}")
    typer.echo(f"run folder: {folder}", err=True)
    chosen = [(id, recipe) for id, recipe in jobs if not rows or id in rows]
    backbones = {id: recipe.detector.backbone.name for id, recipe in jobs}
    try:
        run_rows(
            chosen,
            detection_seeds(table, jobs, own),
            folder,
            start=start,
            say=lambda t: typer.echo(t, err=True),
        )
    finally:
        lines = detector_lines(table, folder, backbones)
        if any(line.map11 for line in lines):
            write_table(table, lines, folder, scale, smoke=smoke)
            _show(table.title, lines, smoke=smoke)
            typer.echo(f"Table: {folder / 'table.csv'}")


def _show(title: str, lines: "Sequence[DetectorLine]", *, smoke: bool) -> None:
    console = Console(emoji=False)  # a path may hold :x:
    console.print(title, markup=False, highlight=False)
    console.print(_table(lines))
    told = f"mAP, eleven points, in percent of the {lines[0].split} images; mean ± standard "
    told += "deviation over n seeds; gain paired by seed. Median boxes: a control that looks at "
    told += "nothing."
    if smoke:
        told += " Smoke: tiny data and one epoch, so that the numbers mean nothing."
    console.print(told, soft_wrap=True, markup=False, highlight=False)


def _table(lines: "Sequence[DetectorLine]") -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("row", overflow="fold", min_width=9)
    paper = any(line.paper_map is not None for line in lines)
    for column in (*(["paper"] if paper else []), "mAP", "COCO\nAP", "median\nboxes", "gain", "n"):
        table.add_column(column, justify="right", no_wrap=True)
    for line in lines:
        printed = NOTHING if line.paper_map is None else f"{100 * line.paper_map:.4g}"
        size = f"{line.backbone}, {kilo(line.cost['macs'])} MACs" if line.cost else "not run"
        table.add_row(
            f"{escape(line.row)}\n[dim]{size}[/dim]",
            *([printed] if paper else []),
            percent(line.map11),
            percent(line.coco_ap),
            NOTHING if line.blind is None else f"{100 * line.blind:.1f}",
            gain_points(line.gain),
            str(line.map11.n if line.map11 else 0),
        )
    return table
