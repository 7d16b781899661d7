"""`tinyrefinery apply`: review decisions become part of the dataset."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import option, output_file, output_folder
from tinyrefinery.data.overlay.decisions import (
    AUTO,
    Decision,
    disagreements,
    merge_decisions,
    newest_additions,
    newest_by_image,
    read_decisions,
)
from tinyrefinery.errors import DataError
from tinyrefinery.review.error_rate import label_error
from tinyrefinery.review.label_studio import read_export
from tinyrefinery.review.slice_lists import add_to_slices

OVERLAY = Path("labels/decisions.jsonl")


def apply(
    decisions: Annotated[
        list[Path],
        typer.Argument(
            help="Decision files, Label Studio exports (.json), or output folders of `label`."
        ),
    ],
    overlay: Annotated[Path, output_file("Overlay file that collects decisions.")] = OVERLAY,
    slices: Annotated[
        Path, output_folder("Folder of image lists for data tests.", shared=True)
    ] = Path("slices"),
    by: Annotated[
        str, option("NAME", "Reviewer of exports that do not name one.")
    ] = "label-studio",
) -> None:
    """Apply review decisions to the overlay. Safe to repeat.

    The dataset's own files are never changed. With data.source.overlay=FILE, runs use the overlay.
    From an output folder of `label`, the new images join the training split.
    """
    given = [each for path in decisions for each in _read(path, overlay, by)]
    there = read_decisions(overlay) if overlay.exists() else []
    lists = add_to_slices(slices, given, there)
    new = merge_decisions(overlay, given, _not_there)
    every = read_decisions(overlay) if overlay.exists() else []
    counts = Counter(each.verdict for each in newest_by_image(every).values())
    summary = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    streams.echo(f"{overlay}: {len(new)} new lines; now {summary or 'no decision'}")
    if added := newest_additions(every):
        streams.echo(f"{len(added)} images are added to training, {_whose(added.values())}")
    for path, count in lists.items():
        streams.echo(f"{path}: {count} images more; in a data test: list: {path}")
    if torn := disagreements(every):
        streams.echo(f"reviewers disagree about {len(torn)} images; review them again to settle it")
    if (error := label_error(every)) is not None:
        streams.echo(f"wrong labels, by the images drawn at random: {error}")
    if every:
        streams.echo(f"next: tinyrefinery run RECIPE data.source.overlay={overlay}")
    else:
        streams.echo("nothing to apply: no decision was given")


def _read(path: Path, overlay: Path, by: str) -> list[Decision]:
    """The decisions of a file or folder."""
    from tinyrefinery.auto_label.new_images import is_labeled_folder, read_labeled

    if not path.is_dir():
        return read_export(path, by) if path.suffix == ".json" else read_decisions(path)
    if not is_labeled_folder(path):
        raise DataError(f"{path}: is a folder, but none that `tinyrefinery label` wrote")
    return read_labeled(path, overlay)


def _not_there(given: Sequence[Decision], there: Sequence[Decision]) -> list[Decision]:
    """Decisions without the images that the overlay already adds."""
    from tinyrefinery.auto_label.new_images import not_yet_added

    return not_yet_added(given, there)


def _whose(added: Iterable[Decision]) -> str:
    """How many labels come from a network, and how many from people."""
    auto = [each.by.startswith(AUTO) for each in added]
    return f"{sum(auto)} labeled by a network, {len(auto) - sum(auto)} by people"
