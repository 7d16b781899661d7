"""Lists of images for data tests: a fixed failure is added to a list and stays tested."""

import re
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

from tinyrefinery.data.overlay.decisions import Decision, newest_by_image, valid_decisions
from tinyrefinery.errors import DataError, StorageError
from tinyrefinery.files import write_atomic
from tinyrefinery.reading.json_text import read_text

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")


def check_slice(name: str) -> str:
    """Check that a slice's name is a safe file name, and return it.

    Raises:
        DataError: when it is not.
    """
    if not _NAME.fullmatch(name):
        raise DataError(
            f"'{name[:80]}' is not a valid name for a slice: use letters, digits, _ - and ."
        )
    return name


def add_to_slices(
    folder: Path, decisions: Iterable[Decision], before: Iterable[Decision] = ()
) -> dict[Path, int]:
    """Add images to `FOLDER/NAME.txt`, one per line.

    Images that are already in the list are not added again, and dropped images are not added. If a
    decision that added an image is undone, or the image is dropped later, it is removed from the
    list. Otherwise a test on the list would fail with an error, as the data lacks the image.

    Args:
        folder: folder of the lists.
        decisions: decisions to apply.
        before: decisions applied earlier. They add no images.

    Returns:
        Number of new images per file.

    Raises:
        DataError: when a name is invalid or a list can't be read.
        StorageError: when a list is not writable.
    """
    applied = list(decisions)
    history = [*before, *applied]
    if not [check_slice(name) for decision in history for name in decision.slices]:
        return {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):  # two commands at once would lose one's lines
            return _update(folder, applied, history)
    except OSError as error:
        raise StorageError(f"{folder}: is not writable ({error.strerror or error})") from error


def _update(folder: Path, applied: list[Decision], history: list[Decision]) -> dict[Path, int]:
    """Update the lists of all names in `history`; the number of new images per file."""
    added = {}
    for name in dict.fromkeys(check_slice(name) for d in history for name in d.slices):
        path = folder / f"{name}.txt"
        members = _members(history, name)
        requested = {d.uid for d in applied if name in d.slices}
        removed = {d.uid for d in history if name in d.slices} - set(members)
        old = _read(path).splitlines()
        lines = [line for line in old if _uid(line) not in removed]
        listed = set(map(_uid, lines))
        new = [decision for uid, decision in members.items() if uid in requested - listed]
        if new or lines != old:
            write_atomic(path, "".join(f"{line}\n" for line in [*lines, *map(_line, new)]))
        if requested & set(members):
            added[path] = len(new)
    return added


def _members(decisions: list[Decision], name: str) -> dict[str, Decision]:
    """The decisions in force that add an image to a list, by uid."""
    dropped = {
        uid for uid, decision in newest_by_image(decisions).items() if decision.verdict == "drop"
    }
    return {
        decision.uid: decision
        for decision in valid_decisions(decisions)
        if name in decision.slices
        and decision.verdict not in ("drop", "skip")
        and decision.uid not in dropped
    }


def _uid(line: str) -> str:
    return line.partition("#")[0].strip().removeprefix("sha256:")


def _read(path: Path) -> str:
    return read_text(path) if path.exists() else ""


def _line(decision: Decision) -> str:
    note = f"{decision.file_name or ''} by {decision.by} {decision.at[:10]}"
    return f"sha256:{decision.uid}  # {note.replace(chr(10), ' ').strip()}"
