"""`tinyrefinery audit`: leaks, duplicates, label errors and shortcuts of a dataset."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from tinyrefinery.audit.accepted import read_accepted
from tinyrefinery.cli import streams
from tinyrefinery.cli.options import Like, Row, Seed, Stage, option, output_folder
from tinyrefinery.errors import CHECK_FAILED, DataError, look_up
from tinyrefinery.pages.cell_text import one_line

if TYPE_CHECKING:
    from tinyrefinery.audit.checks import Audit
    from tinyrefinery.audit.evidence import Evidence
    from tinyrefinery.audit.target import Target
    from tinyrefinery.data.dataset import Dataset


def audit(
    target: Annotated[str, typer.Argument(help="Image folder, Parquet file, recipe or run.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Recipe changes, or options of the data source, e.g. group=home."),
    ] = None,
    group: Annotated[
        str | None, option("COLUMN", "Column of groups, e.g. cameras, that must not span splits.")
    ] = None,
    reference: Annotated[
        Path | None, option("FOLDER", "Images from the device, labeled or not, to compare.")
    ] = None,
    accept: Annotated[
        Path | None, option("FILE", "YAML list of shortcuts that are part of the task.")
    ] = None,
    stage: Stage = None,
    seed: Seed = None,
    row: Row = None,
    model: Annotated[
        Path | None, option("RUN", "Run, network, ONNX or LiteRT file to test for shortcut use.")
    ] = None,
    like: Like = None,
    refiner: Annotated[
        Path | None,
        option("FILE", "Large network that finds images not recognizable at the small input size."),
    ] = None,
    input_size: Annotated[
        int | None, option("PIXELS", "The small network's input size.", default="the run's", min=1)
    ] = None,
    fail_on: Annotated[
        list[str] | None, option("KIND", "Exit with 1 on this kind of finding, too. Repeatable.")
    ] = None,
    out: Annotated[Path, output_folder("Folder for the page, JSON and CSV files.")] = Path("audit"),
) -> None:
    """Check a dataset for leaks, label errors and shortcuts.

    Exits with 1 if splits share images.
    """
    from tinyrefinery.audit.checks import audit as run_audit
    from tinyrefinery.audit.files import save_audit
    from tinyrefinery.audit.target import open_reference, open_target
    from tinyrefinery.networks.choice import Choice

    _check_kinds(fail_on or [])
    opened = open_target(target, overrides or [], out, Choice(stage, seed, row))
    data, evidence = opened.dataset, _evidence(opened, model, like)
    compared = open_reference(reference, data.images.channels) if reference else None
    found = run_audit(
        data,
        evidence=evidence,
        reference=compared,
        accepted=read_accepted(accept, data.classes) if accept else {},
        group=_group(group, opened),
        hard=_hard(refiner, input_size, opened),
        remedy=opened.remedy,
    )
    _show(opened, found, save_audit(out, opened.name, data, found, evidence))
    if found.fails(fail_on or []):
        raise typer.Exit(CHECK_FAILED)


def _check_kinds(kinds: list[str]) -> None:
    from tinyrefinery.audit.finding import KINDS

    for kind in kinds:
        look_up("kind of finding", kind, KINDS)


def _evidence(opened: "Target", model: Path | None, like: Path | None) -> "Evidence | None":
    """Predictions and training dynamics of the run, or the predictions of another network."""
    if model is None:
        return opened.evidence
    from tinyrefinery.audit.network_evidence import predictions_as_evidence
    from tinyrefinery.networks.opening import open_network

    answers = predictions_as_evidence(open_network(model, like=like), opened.dataset)
    own = opened.evidence
    return replace(answers, dynamics=own.dynamics if own else None)


def _group(wanted: str | None, opened: "Target") -> str | None:
    """The column of groups: the one named, which must be there, or `group` if there is one."""
    if wanted is not None:
        opened.dataset.manifest.column(wanted)
        return wanted
    return "group" if "group" in opened.dataset.manifest.table.column_names else None


def _hard(refiner: Path | None, size: int | None, opened: "Target"):
    """The refiner's predictions, if there is a refiner."""
    if refiner is None:
        return None
    from tinyrefinery.audit.network_evidence import hardness_of
    from tinyrefinery.networks.opening import open_network

    if size is not None:
        small = (size, size)
    elif opened.info is not None:
        small = opened.info.size
    else:
        raise DataError(
            "--refiner needs --input-size: the side of the small network's input in pixels"
        )
    return hardness_of(open_network(refiner), opened.dataset, small), small


def _splits(data: "Dataset") -> str:
    """Number of images per split. An empty split is listed, too."""
    splits = ("train", "validation", "test")
    return ", ".join(f"{len(data.manifest.rows(split)):,} {split}" for split in splits)


def _show(opened: "Target", found: "Audit", page: Path) -> None:
    console = streams.console()
    colors = {"error": "bold red", "warning": "yellow", "note": "", "accepted": "dim"}
    data = opened.dataset
    head = f"{opened.name}: {len(data.manifest):,} images ({_splits(data)}), "
    head += f"{len(data.classes)} class{'' if len(data.classes) == 1 else 'es'}"
    streams.print_lines(console, head)
    for each in found.findings:
        line = Text(f"{each.severity:8} ", style=colors[each.severity])
        line.append(f"{each.kind:12} ", style="bold")
        line.append(_in_one_line(console, each.title), style="")
        streams.print_lines(console, line)
        if each.severity not in ("error", "warning"):
            continue
        for text, copied in ((each.more, False), (each.remedy, True)):
            if text:
                detail = Text(f"{'':22}{_in_one_line(console, text)}", style="dim")
                streams.print_lines(console, detail, copied=copied)
    if not found.findings:
        console.print("nothing found")
    for what, why in found.skipped.items():
        streams.print_lines(console, f"skipped  {what}: {why}")
    for note in found.notes:
        streams.print_lines(console, f"note     {note}")
    streams.print_lines(console, f"\nPage: {page}")


def _in_one_line(console: Console, text: str) -> str:
    """Names of classes may have line ends. They are shown as a space, other commands as escapes."""
    joined = " ".join(text.splitlines())
    return one_line(joined) if console.is_terminal else joined
