"""Lists of images that data tests are about: a mended failure joins one and stays tested."""

import re
from collections.abc import Iterable
from pathlib import Path

from tinyrefinery.data.decisions import Decision, standing
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


def add_to_slices(folder: Path, decisions: Iterable[Decision]) -> dict[Path, int]:
    """Add images to `FOLDER/NAME.txt`, a line each; how many are new, by file.

    An image that is there stays there once. Dropped images join nothing.

    Raises:
        DataError: when a name is none, or a list can't be read.
        StorageError: when it can't be written.
    """
    wanted: dict[str, dict[str, Decision]] = {}
    for each in standing(decisions):
        for name in each.slices:
            if each.verdict not in ("drop", "skip"):
                wanted.setdefault(check_slice(name), {})[each.uid] = each
    added = {}
    for name, images in wanted.items():
        path = folder / f"{name}.txt"
        text = _read(path)
        there = {
            line.partition("#")[0].strip().removeprefix("sha256:") for line in text.split("\n")
        }
        new = [each for uid, each in images.items() if uid not in there]
        if new:
            text += "" if not text or text.endswith("\n") else "\n"
            write_atomic(path, text + "".join(_line(each) for each in new))
        added[path] = len(new)
    return added


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: can't be read ({error})") from error


def _line(each: Decision) -> str:
    told = f"{each.file_name or ''} by {each.by} {each.at[:10]}".replace("\n", " ").strip()
    return f"sha256:{each.uid}  # {told}\n"
