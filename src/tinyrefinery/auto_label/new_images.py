"""From what `label` and people said of new images to lines that add them to the training images."""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tinyrefinery.data.overlay.apply import HUMAN
from tinyrefinery.data.overlay.decisions import (
    ADD,
    Decision,
    newest_additions,
    newest_by_image,
    read_decisions,
    timestamp,
)
from tinyrefinery.errors import DataError
from tinyrefinery.files import read_csv

_LABELS = ("ok", "relabel")


def is_labelled_folder(path: Path) -> bool:
    """Whether `tinyrefinery label` wrote this folder."""
    return (path / "label.json").is_file() and (path / "metadata.csv").is_file()


def read_labelled(folder: Path, overlay: Path) -> list[Decision]:
    """Lines that add what a folder of `label` accepted, and what people labelled of its queue.

    What people said of those images comes with them: they may have found an accepted label wrong,
    or an image that is none.

    Args:
        folder: as `label` wrote it, with `queue.decisions.jsonl` if its queue was reviewed.
        overlay: the file they are for; paths are written as seen from its folder.

    Raises:
        DataError: when the folder or an image in it can't be read.
    """
    decided = folder / "queue.decisions.jsonl"
    said = read_decisions(decided) if decided.exists() else []
    new = {each.uid: each for each in _accepted(folder)}
    people = {uid: each for uid, each in newest_by_image(said).items() if each.verdict in _LABELS}
    if waiting := {uid: each for uid, each in people.items() if uid not in new}:
        paths = _paths(folder)
        new |= {uid: _human(each, paths) for uid, each in waiting.items() if uid in paths}
    return [*(replace(each, file_name=_seen(each, overlay)) for each in new.values()), *said]


def _accepted(folder: Path) -> list[Decision]:
    """A line for each row of `metadata.csv`; its `label_source` is who said so."""
    file = folder / "metadata.csv"
    try:
        found = []
        for row in read_csv(file):
            path = folder / row["file_name"]
            found.append(_add(_digest(path), row["label"], row["label_source"], timestamp(), path))
        return found
    except (OSError, KeyError, TypeError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file}: can't be read ({error}); give `label` again") from error


def _human(each: Decision, paths: Mapping[str, str]) -> Decision:
    path = Path(paths[each.uid])
    if _digest(path) != each.uid:
        raise DataError(f"{path}: changed since it was reviewed; label and review it again")
    label = each.label if each.verdict == "relabel" else each.was
    return _add(each.uid, str(label), f"{HUMAN}:{each.by}", each.at, path)


def _add(uid: str, label: str, by: str, at: str, path: Path) -> Decision:
    return Decision(uid=uid, verdict=ADD, label=label, by=by, at=at, file_name=str(path))


def _digest(path: Path) -> str:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(
            f"{path}: can't be read ({error.strerror or error}); give the command from the folder "
            "in which `label` was given, with the images where they were"
        ) from error


def _paths(folder: Path) -> dict[str, str]:
    """Path of every image that was labelled, by uid, as seen from where `label` was given."""
    file = folder / "probabilities.parquet"
    try:
        table = pq.read_table(file, columns=["id", "path"])
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{file}: can't be read ({error}); give `label` again") from error
    return dict(zip(table["id"].to_pylist(), table["path"].to_pylist(), strict=True))


def _seen(each: Decision, overlay: Path) -> str:
    """The image's path as seen from the overlay's folder, where there is a way."""
    path, home = Path(str(each.file_name)).resolve(), overlay.resolve().parent
    try:
        return Path(os.path.relpath(path, home)).as_posix()
    except ValueError:  # on another drive
        return path.as_posix()


def not_yet_added(lines: Sequence[Decision], there: Sequence[Decision]) -> list[Decision]:
    """Lines without those that say again what a file says already, whenever it was said."""
    known = {uid: _told(each) for uid, each in newest_additions(there).items()}
    return [each for each in lines if each.verdict != ADD or _told(each) != known.get(each.uid)]


def _told(each: Decision) -> tuple[str | None, ...]:
    return each.label, each.by, each.file_name
