"""`tinyrefinery apply`: decisions become part of the data."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

OVERLAY = Path("labels/decisions.jsonl")


def apply(
    decisions: Annotated[
        list[Path],
        typer.Argument(help="Files of decisions, or exports of Label Studio (.json)."),
    ],
    overlay: Annotated[Path, typer.Option(help="The file that collects them.")] = OVERLAY,
    slices: Annotated[Path, typer.Option(help="Folder of lists for data tests.")] = Path("slices"),
    by: Annotated[
        str, typer.Option(help="Who decided in exports that don't tell.")
    ] = "label-studio",
) -> None:
    """Add DECISIONS to the overlay, which any source lays over its data; giving them twice is safe.

    The data's own files are never changed.
    """
    from tinyrefinery.annotation.label_error import label_error
    from tinyrefinery.annotation.label_studio import read_export
    from tinyrefinery.annotation.slice_lists import add_to_slices
    from tinyrefinery.data.decisions import conflicts, merge_decisions, newest, read_decisions

    said = []
    for path in decisions:
        said += read_export(path, by) if path.suffix == ".json" else read_decisions(path)
    lists = add_to_slices(slices, said)
    new = merge_decisions(overlay, said)
    every = read_decisions(overlay) if overlay.exists() else []
    counts = Counter(each.verdict for each in newest(every).values())
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    typer.echo(f"{overlay}: {len(new)} new lines; now {told or 'no decision'}")
    for path, count in lists.items():
        typer.echo(f"{path}: {count} images more; in a data test: list: {path}")
    if torn := conflicts(every):
        typer.echo(f"reviewers disagree about {len(torn)} images; review them again to settle it")
    if (error := label_error(every)) is not None:
        typer.echo(f"wrong labels, by the images drawn at random: {error}")
    typer.echo(f"next: tinyrefinery run RECIPE data.source.overlay={overlay}")
