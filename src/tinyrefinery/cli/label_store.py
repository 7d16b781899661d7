"""`tinyrefinery label-store`: compute, inspect, verify and export stored labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyrefinery.cli.options import (
    Overrides,
    Processes,
    RecipeName,
    RunName,
    Runs,
    Stages,
    a_file,
    option,
)
from tinyrefinery.cli.progress import log_progress
from tinyrefinery.cli.streams import echo
from tinyrefinery.errors import LabelStoreError, RecipeError
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.shipped import locate

if TYPE_CHECKING:
    from tinyrefinery.labels.store.store import LabelStore

_MOST_STREAMS = 1_000_000  # Numbers are listed one by one. A typing error must not fill the memory.
Stores = Annotated[
    list[Path], typer.Argument(help="Label stores, or folders of them, e.g. runs/ID/labels.")
]
Streams = Annotated[
    str | None, option("RANGE", "Epochs, counting from 0, e.g. 0-49 or 3,7.", default="all")
]


def make(
    recipe: RecipeName,
    overrides: Overrides = None,
    stage: Stages = None,
    streams: Streams = None,
    name: RunName = None,
    runs: Runs = Path("runs"),
    processes: Processes = 1,
) -> None:
    """Compute labels before training. Rerun to resume.

    Refiners that are not finished are trained first. Stored labels are kept.
    """
    path, wanted = locate(recipe), _range(streams)
    loaded = load_recipe(path, overrides or [])
    log_progress()
    from tinyrefinery.execution.label_ahead import make_labels
    from tinyrefinery.runs.plan import run_folder

    folder = runs / name if name else run_folder(runs, path.stem, loaded)
    made = make_labels(loaded, folder, stages=stage or (), streams=wanted, processes=processes)
    for store in dict.fromkeys(store.folder for store in made):
        _show(store)


def info(stores: Stores) -> None:
    """Show what label stores contain."""
    for folder in _folders(stores):
        _show(folder)


def verify(stores: Stores) -> None:
    """Check label stores for damage, byte by byte."""
    wrong = []
    for folder in _folders(stores):
        try:
            store = _open(folder)
        except LabelStoreError as error:  # the others may be sound, or not
            wrong.append(str(error))
            echo(f"bad  {folder}")
            continue
        damages = store.verify()
        wrong += damages
        streams = len(store.streams())
        echo(f"{'bad' if damages else 'ok '}  {folder}: {streams} streams")
    if wrong:
        raise LabelStoreError("\n".join(wrong))


def export(
    store: Annotated[Path, typer.Argument(help="Label store.")],
    out: Annotated[Path, typer.Argument(help="Parquet file to write.", callback=a_file)],
    streams: Streams = None,
) -> None:
    """Write stored labels to a Parquet table.

    Columns: stream, row, sample id, top class, probabilities.
    """
    from tinyrefinery.labels.store.export import export as write

    (folder,) = _one(_folders([store]))
    opened = _open(folder)
    wanted = _range(streams)
    count = write(opened, out, list(opened.streams()) if wanted is None else wanted)
    echo(f"{out}: {count:,} labels")


def _open(folder: Path) -> "LabelStore":
    from tinyrefinery.labels.store.store import LabelStore

    return LabelStore(folder)


def _show(folder: Path) -> None:
    from tinyrefinery.labels.store.reader import ranges

    store = _open(folder)
    facts, streams = store.facts, list(store.streams())
    groups, refiner = facts["groups"], facts["refiner"]
    form = f"top {store.form.top}" if store.form.name == "top" else store.form.name
    size = len(streams) * store.bytes_per_stream
    lines = {
        "streams": f"{len(streams)} ({ranges(streams)}), {size / 1e6:.1f} MB",
        "labels per stream": f"{len(store):,} of {len(facts['classes'])} classes",
        "form": f"{form}, {store.form.bytes} bytes per label",
        "crops": ", ".join(f"{k} {v}" for k, v in facts["crops"].items() if v is not None),
        "refiner": f"{', '.join(d[:12] for d in refiner['networks'])}, "
        f"BN {refiner['batch_norm']}, T={refiner['temperature']:g}, {refiner['precision']}",
        "BN groups": f"{groups['size']} crops" if groups else "none",
        "made with": ", ".join(f"{k} {v}" for k, v in store.made_with.get("versions", {}).items()),
    }
    echo(str(folder))
    for name, text in lines.items():
        echo(f"  {name:16} {text}")


def _folders(given: list[Path]) -> list[Path]:
    """The stores that are meant: each folder itself, or those in it."""
    folders = []
    for path in given:
        itself = [path] if (path / "manifest.json").exists() else []
        inside = itself or sorted(file.parent for file in path.glob("[!.]*/manifest.json"))
        if not inside:
            raise LabelStoreError(f"{path}: no label store, and none in it")
        folders += inside
    return folders


def _one(folders: list[Path]) -> list[Path]:
    if len(folders) > 1:
        names = ", ".join(folder.name for folder in folders)
        raise LabelStoreError(
            f"{folders[0].parent}: holds {len(folders)} stores, name one: {names}"
        )
    return folders


def _range(text: str | None) -> list[int] | None:
    """The numbers of `0-9,12`, in ascending order."""
    if text is None:
        return None
    numbers: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
            raise RecipeError(f"--streams {text}: write numbers and ranges, e.g. 0-49 or 3,7")
        if int(last) >= _MOST_STREAMS:
            raise RecipeError(f"--streams {text}: stream {last} is beyond any training")
        numbers |= set(range(int(first), int(last) + 1))
    return sorted(numbers)
