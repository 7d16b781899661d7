"""Adding auto-labeled and human-labeled images to the training images, as overlay lines."""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tinyrefinery.data.overlay.apply_decisions import HUMAN
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


def is_labeled_folder(path: Path) -> bool:
    """Whether `tinyrefinery label` wrote this folder."""
    return (path / "label.json").is_file() and (path / "metadata.csv").is_file()


def read_labeled(folder: Path, overlay: Path) -> list[Decision]:
    """Read a folder of `label` as lines that add its accepted and human-labeled images.

    People's decisions on these images are included, since they may correct an accepted label or
    drop an image.

    Args:
        folder: a folder that `label` wrote, with `queue.decisions.jsonl` if its queue was reviewed.
        overlay: the overlay file for these lines. Paths become relative to its folder.

    Raises:
        DataError: when the folder or an image in it can't be read.
    """
    file = folder / "queue.decisions.jsonl"
    decisions = read_decisions(file) if file.exists() else []
    new = {line.uid: line for line in _accepted(folder)}
    human = {uid: d for uid, d in newest_by_image(decisions).items() if d.verdict in _LABELS}
    if not_accepted := {uid: d for uid, d in human.items() if uid not in new}:
        paths = _paths(folder)
        new |= {uid: _human(d, paths) for uid, d in not_accepted.items() if uid in paths}
    lines = [replace(line, file_name=_relative(line, overlay)) for line in new.values()]
    return [*lines, *decisions]


def _accepted(folder: Path) -> list[Decision]:
    """One line per row of `metadata.csv`, by its `label_source`."""
    file = folder / "metadata.csv"
    try:
        lines = []
        for row in read_csv(file):
            path = folder / row["file_name"]
            lines.append(_add(_digest(path), row["label"], row["label_source"], timestamp(), path))
        return lines
    except (OSError, KeyError, TypeError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file}: can't be read ({error}): rerun `tinyrefinery label`") from error


def _human(decision: Decision, paths: Mapping[str, str]) -> Decision:
    path = Path(paths[decision.uid])
    if _digest(path) != decision.uid:
        raise DataError(f"{path}: changed since it was reviewed: label and review it again")
    label = decision.label if decision.verdict == "relabel" else decision.was
    return _add(decision.uid, str(label), f"{HUMAN}:{decision.by}", decision.at, path)


def _add(uid: str, label: str, by: str, at: str, path: Path) -> Decision:
    return Decision(uid=uid, verdict=ADD, label=label, by=by, at=at, file_name=str(path))


def _digest(path: Path) -> str:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(
            f"{path}: can't be read ({error.strerror or error}): run this command in the folder "
            "where you ran `tinyrefinery label`, with the images in the same place"
        ) from error


def _paths(folder: Path) -> dict[str, str]:
    """Path of every labeled image by uid, relative to the folder where `label` ran."""
    file = folder / "probabilities.parquet"
    try:
        table = pq.read_table(file, columns=["id", "path"])
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{file}: can't be read ({error}): rerun `tinyrefinery label`") from error
    return dict(zip(table["id"].to_pylist(), table["path"].to_pylist(), strict=True))


def _relative(line: Decision, overlay: Path) -> str:
    """The image's path relative to the overlay's folder, if possible."""
    path, home = Path(str(line.file_name)).resolve(), overlay.resolve().parent
    try:
        return Path(os.path.relpath(path, home)).as_posix()
    except ValueError:  # on another drive
        return path.as_posix()


def not_yet_added(lines: Sequence[Decision], existing: Sequence[Decision]) -> list[Decision]:
    """Remove added images that the overlay already has with the same label, source and path."""
    present = {uid: _content(line) for uid, line in newest_additions(existing).items()}
    return [
        line for line in lines if line.verdict != ADD or _content(line) != present.get(line.uid)
    ]


def _content(line: Decision) -> tuple[str | None, ...]:
    return line.label, line.by, line.file_name
