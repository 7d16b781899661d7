"""Lists of images that data tests are about: a mended failure joins one and stays tested."""

import re
from collections.abc import Iterable
from pathlib import Path

from tinyrefinery.data.overlay.decisions import Decision, newest_by_image, valid_decisions
from tinyrefinery.errors import DataError
from tinyrefinery.files import write_atomic

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")


def check_slice(name: str) -> str:
    """A name that is safe as a file's.

    Raises:
        DataError: when it isn't one.
    """
    if not _NAME.fullmatch(name):
        raise DataError(f"'{name[:80]}' is no name of a slice; use letters, digits, _ - .")
    return name


def add_to_slices(
    folder: Path, decisions: Iterable[Decision], before: Iterable[Decision] = ()
) -> dict[Path, int]:
    """Add images to `FOLDER/NAME.txt`, a line each; how many are new, by file.

    An image that is there stays there once. Dropped images join nothing. An image leaves a list
    that it had joined by a decision when that is taken back, or the image dropped: the data has it
    no more, and a test of the list would be an error.

    Args:
        folder: of the lists.
        decisions: that are applied.
        before: that were applied earlier; they add nothing.

    Raises:
        DataError: when a name is none, or a list can't be read.
        StorageError: when it can't be written.
    """
    applied = list(decisions)
    every = [*before, *applied]
    added = {}
    for name in dict.fromkeys(check_slice(name) for each in every for name in each.slices):
        path = folder / f"{name}.txt"
        members, asked = _members(every, name), {e.uid for e in applied if name in e.slices}
        left = {each.uid for each in every if name in each.slices} - set(members)
        old = _read(path).splitlines()
        lines = [line for line in old if _uid(line) not in left]
        there = set(map(_uid, lines))
        new = [each for uid, each in members.items() if uid in asked - there]
        if new or lines != old:
            write_atomic(path, "".join(f"{line}\n" for line in [*lines, *map(_line, new)]))
        if asked & set(members):
            added[path] = len(new)
    return added


def _members(decisions: list[Decision], name: str) -> dict[str, Decision]:
    """Images that a list should hold by what stands, by uid."""
    out = {uid for uid, each in newest_by_image(decisions).items() if each.verdict == "drop"}
    joining = (each for each in valid_decisions(decisions) if name in each.slices)
    return {e.uid: e for e in joining if e.verdict not in ("drop", "skip") and e.uid not in out}


def _uid(line: str) -> str:
    return line.partition("#")[0].strip().removeprefix("sha256:")


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: can't be read ({error})") from error


def _line(each: Decision) -> str:
    told = f"{each.file_name or ''} by {each.by} {each.at[:10]}".replace("\n", " ").strip()
    return f"sha256:{each.uid}  # {told}"
