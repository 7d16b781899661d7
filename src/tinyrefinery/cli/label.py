"""`tinyrefinery label`: networks label new images, within an error that people check."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyrefinery.cli.options import Seed, Stage, a_folder

if TYPE_CHECKING:
    from tinyrefinery.auto_label.labellers import Labeller
    from tinyrefinery.auto_label.labelling import AutoLabels
    from tinyrefinery.data.dataset import Dataset
    from tinyrefinery.data.overlay.decisions import Decision

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to write.", callback=a_folder)]
FAILED = 1
"""Exit code when the error of accepted labels is not shown to be small enough."""


def label(
    images: Annotated[Path, typer.Argument(help="Folder of new images.")],
    by: Annotated[
        str,
        typer.Option(help="Run, network file, timm:NAME, FILE.onnx, or http(s)://ADDRESS."),
    ],
    gold: Annotated[
        Path | None,
        typer.Option(help="Images that people labelled; else the run's validation split."),
    ] = None,
    out: Out = Path("auto"),
    precision: Annotated[
        float, typer.Option(min=0.5, max=0.9999, help="That each class must keep.")
    ] = 0.98,
    least: Annotated[int, typer.Option(min=1, help="Audited images that a class takes.")] = 100,
    reject_below: Annotated[
        float, typer.Option(min=0, max=1, help="Below it, an image shows no class.")
    ] = 0.0,
    audit: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the accepted that people check.")
    ] = 0.03,
    max_error: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Fail unless the check shows no more wrong labels."),
    ] = None,
    decisions: Annotated[
        list[Path] | None, typer.Option(help="Decisions about earlier queues; several times.")
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(help="Names of the outputs, one a line; - is none of ours.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=1, help="Pixels that a network sees, where it doesn't tell.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Weights of a timm model.")] = None,
    stage: Stage = None,
    seed: Seed = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for an answer by HTTP.")] = 30.0,
    retries: Annotated[int, typer.Option(min=0, help="Further tries by HTTP.")] = 3,
) -> None:
    """Label IMAGES: accept what holds its precision, queue the rest, check a share of the accepted.

    The folder of images is never changed.
    """
    from tinyrefinery.auto_label.labelling import Limits, auto_label, queue_of, save_auto_labels
    from tinyrefinery.auto_label.setup import Wish, audited_images, open_labeller
    from tinyrefinery.data.sources.folder import open_unlabeled

    labeller = open_labeller(Wish(by, classes, size, weights, stage, seed, timeout, retries))
    said = _decided(decisions or [])
    channels = 1 if labeller.channels == 1 else 3
    new: Dataset = open_unlabeled(images, channels=channels, resident="never")
    known, rows = audited_images(labeller, gold)
    limits = Limits(precision, least, reject_below, audit)
    made = auto_label(labeller, new, known, rows, limits, said)
    queue = queue_of(made, images, labeller, said)
    save_auto_labels(out, made, queue, said)
    _tell(made, labeller, out, len(queue.items))
    if max_error is not None:
        _judge(made, max_error)


def _decided(files: Sequence[Path]) -> "list[Decision]":
    """What people decided, in the order of the files."""
    from tinyrefinery.data.overlay.decisions import read_decisions
    from tinyrefinery.errors import DataError

    for path in files:
        if not path.exists():
            raise DataError(f"{path}: no such file of decisions")
    return [each for path in files for each in read_decisions(path)]


def _tell(made: "AutoLabels", labeller: "Labeller", out: Path, queued: int) -> None:
    for each in made.thresholds:
        share = f"{each.hits} of {each.n} audited right, which shows {each.low:.3f}"
        where = f"from {each.bound:.3f} on" if each.bound is not None else "to people"
        typer.echo(f"{each.category}: {where} ({share})")
    counts = ", ".join(f"{count:,} {band}" for band, count in made.counts().items())
    typer.echo(f"{labeller.name}: {counts}; {len(made.audited):,} of the accepted to be checked")
    if made.error is not None:
        typer.echo(f"estimated error of auto labels {made.error}")
    typer.echo(f"{out / 'metadata.csv'}: open it with data.source.root={out}")
    if queued:
        typer.echo(f"next: tinyrefinery review {out / 'queue.jsonl'}")


def _judge(made: "AutoLabels", most: float) -> None:
    """End with `FAILED` unless the whole interval lies at or below the bound."""
    from tinyrefinery.statistics.proportions import images_to_prove

    error = made.error
    if not made.counts()["accept"]:
        return
    if error is not None and error.high <= most:
        typer.echo(f"PASS: at most {most:g} of the accepted labels are wrong")
        return
    if error is None:
        typer.echo(f"FAIL: nobody checked the accepted labels yet (max error {most:g})")
    else:
        more = images_to_prove(error.n - error.wrong, error.n, 1 - most, faultless=True)
        word = "FAIL" if error.share > most else "UNPROVEN"
        told = "" if more is None else f"; {more} more checked without an error would show it"
        typer.echo(f"{word}: max error {most:g}{told}")
    raise typer.Exit(FAILED)
