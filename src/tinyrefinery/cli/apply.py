"""`tinyrefinery apply`: decisions become part of the data."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyrefinery.cli.options import a_file, a_folder

if TYPE_CHECKING:
    from tinyrefinery.data.overlay.decisions import Decision

OVERLAY = Path("labels/decisions.jsonl")


def apply(
    decisions: Annotated[
        list[Path],
        typer.Argument(
            help="Files of decisions, exports of Label Studio (.json), or folders that label wrote."
        ),
    ],
    overlay: Annotated[
        Path, typer.Option(help="The file that collects them.", callback=a_file)
    ] = OVERLAY,
    slices: Annotated[
        Path, typer.Option(help="Folder of lists for data tests.", callback=a_folder)
    ] = Path("slices"),
    by: Annotated[
        str, typer.Option(help="Who decided in exports that don't tell.")
    ] = "label-studio",
) -> None:
    """Add DECISIONS to the overlay, which any source lays over its data; giving them twice is safe.

    The data's own files are never changed. Of a folder that `label` wrote, the new images join
    training.
    """
    from tinyrefinery.data.overlay.decisions import (
        disagreements,
        merge_decisions,
        newest_additions,
        newest_by_image,
        read_decisions,
    )
    from tinyrefinery.review.error_rate import label_error
    from tinyrefinery.review.slice_lists import add_to_slices

    said = [each for path in decisions for each in _read(path, overlay, by)]
    there = read_decisions(overlay) if overlay.exists() else []
    lists = add_to_slices(slices, said, there)
    new = merge_decisions(overlay, _not_there(said, overlay))
    every = read_decisions(overlay) if overlay.exists() else []
    counts = Counter(each.verdict for each in newest_by_image(every).values())
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    typer.echo(f"{overlay}: {len(new)} new lines; now {told or 'no decision'}")
    if added := newest_additions(every):
        typer.echo(f"{len(added)} images are added to training, {_whose(added.values())}")
    for path, count in lists.items():
        typer.echo(f"{path}: {count} images more; in a data test: list: {path}")
    if torn := disagreements(every):
        typer.echo(f"reviewers disagree about {len(torn)} images; review them again to settle it")
    if (error := label_error(every)) is not None:
        typer.echo(f"wrong labels, by the images drawn at random: {error}")
    typer.echo(f"next: tinyrefinery run RECIPE data.source.overlay={overlay}")


def _read(path: Path, overlay: Path, by: str) -> "list[Decision]":
    """What a file or folder says."""
    from tinyrefinery.auto_label.new_images import is_labelled_folder, read_labelled
    from tinyrefinery.data.overlay.decisions import read_decisions
    from tinyrefinery.errors import DataError
    from tinyrefinery.review.label_studio import read_export

    if not path.is_dir():
        return read_export(path, by) if path.suffix == ".json" else read_decisions(path)
    if not is_labelled_folder(path):
        raise DataError(f"{path}: is a folder, but none that `tinyrefinery label` wrote")
    return read_labelled(path, overlay)


def _not_there(said: "list[Decision]", overlay: Path) -> "list[Decision]":
    """Without the images that the overlay adds already."""
    from tinyrefinery.auto_label.new_images import not_yet_added
    from tinyrefinery.data.overlay.decisions import read_decisions

    return not_yet_added(said, read_decisions(overlay) if overlay.exists() else [])


def _whose(added: "Iterable[Decision]") -> str:
    """How many labels are a network's, and how many a person's."""
    from tinyrefinery.data.overlay.decisions import AUTO

    auto = [each.by.startswith(AUTO) for each in added]
    return f"{sum(auto)} labelled by a network, {len(auto) - sum(auto)} by people"
