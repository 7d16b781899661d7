"""`tinyrefinery label`: auto-label new images, with an error rate from human spot checks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import Row, Seed, Stage, option, output_folder
from tinyrefinery.data.overlay.decisions import Decision, read_decisions
from tinyrefinery.errors import CHECK_FAILED, DataError
from tinyrefinery.statistics.proportions import images_to_prove

if TYPE_CHECKING:
    from tinyrefinery.auto_label.auto_labels import AutoLabels
    from tinyrefinery.auto_label.labelers import Labeler


def label(
    images: Annotated[Path, typer.Argument(help="Folder of new images.")],
    by: Annotated[
        str, option("LABELER", "Run, network, ONNX or LiteRT file, timm:NAME, http(s)://ADDRESS.")
    ],
    gold: Annotated[
        Path | None,
        option("FOLDER", "Images with human labels.", default="the run's validation split"),
    ] = None,
    out: Annotated[Path, output_folder("Folder to write.", "--out", "-o")] = Path("auto"),
    precision: Annotated[
        float, option("P", "Precision required per class, 0.5 to 0.9999.", min=0.5, max=0.9999)
    ] = 0.98,
    least: Annotated[
        int, option("N", "Images with human labels required to accept a class.", min=1)
    ] = 100,
    reject_below: Annotated[
        float, option("P", "Images below this confidence belong to no class.", min=0, max=1)
    ] = 0.0,
    audit: Annotated[
        float, option("SHARE", "Share of accepted images to spot-check, 0 to 1.", min=0, max=1)
    ] = 0.03,
    max_error: Annotated[
        float | None,
        option("SHARE", "Exit with 1 if more labels may be wrong, 0 to 1.", min=0, max=1),
    ] = None,
    decisions: Annotated[
        list[Path] | None, option("FILE", "Decisions on earlier queues. Repeatable.")
    ] = None,
    classes: Annotated[
        Path | None, option("FILE", "Class names of the outputs, one per line. - means ignore.")
    ] = None,
    size: Annotated[
        int | None, option("PIXELS", "Input size of a network whose file lacks it.", min=1)
    ] = None,
    weights: Annotated[Path | None, option("FILE", "Weights of a timm model.")] = None,
    stage: Stage = None,
    seed: Seed = None,
    row: Row = None,
    timeout: Annotated[float, option("SECONDS", "Time limit per HTTP request.", min=0.1)] = 30.0,
    retries: Annotated[int, option("N", "Retries per HTTP request.", min=0)] = 3,
) -> None:
    """Auto-label images. Queue uncertain ones for review.

    Each class gets a confidence threshold that holds --precision. Labels above it are accepted,
    and some of them are queued as spot checks. The folder of images is never changed.
    """
    from tinyrefinery.auto_label.auto_labels import Limits, auto_label, queue_of, save_auto_labels
    from tinyrefinery.auto_label.setup import LabelerChoice, audited_images, open_labeler
    from tinyrefinery.data.sources.folder import open_unlabeled

    choice = LabelerChoice(by, classes, size, weights, stage, seed, row, timeout, retries)
    labeler, earlier = open_labeler(choice), _decisions(decisions or [])
    new = open_unlabeled(images, 1 if labeler.channels == 1 else 3)
    limits = Limits(precision, least, reject_below, audit)
    made = auto_label(labeler, new, *audited_images(labeler, gold), limits, earlier)
    queue = queue_of(made, images, labeler, earlier)
    save_auto_labels(out, made, queue, earlier)
    _report(made, labeler, out, len(queue.items), precision)
    _judge(made, max_error)


def _decisions(files: Sequence[Path]) -> list[Decision]:
    """Human decisions, in the order of the files."""
    for path in files:
        if not path.exists():
            raise DataError(f"{path}: no such file of decisions")
    return [each for path in files for each in read_decisions(path)]


def _report(
    made: "AutoLabels", labeler: "Labeler", out: Path, queued: int, precision: float
) -> None:
    """Print the threshold of each class, the counts, and what to do next."""
    for each in made.thresholds:
        evidence = f"{each.hits} of {each.n} correct; lower bound {each.low:.3f}"
        if each.bound is None:
            streams.echo(f"{each.category}: needs review ({evidence}, required {precision:g})")
        else:
            streams.echo(f"{each.category}: accepted from confidence {each.bound:.3f} ({evidence})")
    counts = ", ".join(f"{count:,} {band}" for band, count in made.counts().items())
    streams.echo(f"{labeler.name}: {counts}; {len(made.audited):,} accepted images to spot-check")
    if made.error is not None:
        streams.echo(f"estimated error of auto labels {made.error}")
    streams.echo(f"{out / 'metadata.csv'}: open it with data.source.root={out}")
    if queued:
        streams.echo(f"next: tinyrefinery review {out / 'queue.jsonl'}")


def _judge(made: "AutoLabels", most: float | None) -> None:
    """Exit with `CHECK_FAILED` if there is a bound that is not proved."""
    error = made.error
    if most is None or not made.counts()["accept"]:
        return
    if error is not None and error.high <= most:
        streams.echo(f"PASS: at most {most:g} of the accepted labels are wrong")
        return
    if error is None:
        streams.echo(f"FAIL: no accepted label is checked yet (max error {most:g})")
    else:
        more = images_to_prove(error.n - error.wrong, error.n, 1 - most, faultless=True)
        word = "FAIL" if error.share > most else "UNPROVEN"
        hint = "" if more is None else f"; {more} more checks without an error would show it"
        streams.echo(f"{word}: max error {most:g}{hint}")
    raise typer.Exit(CHECK_FAILED)
