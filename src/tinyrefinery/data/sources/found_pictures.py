"""Pictures below folders, and what is passed over while looking for them."""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tinyrefinery.data.dataset import Problem
from tinyrefinery.data.walk import walk
from tinyrefinery.errors import DataError

ENDINGS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm"}
)
"""File name extensions of images, in lower case."""
_OTHER_PICTURES = (
    *(".heic", ".heif", ".avif", ".jxl", ".jp2", ".tga", ".psd", ".svg", ".ico"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".rw2", ".orf", ".npy", ".exr", ".dcm"),
)
"""Extensions of pictures that are not read. Messages name these first."""

_NAMED = 6
"""Most extensions that a message names."""
_NO_UTF8 = "names that are not UTF-8"
METADATA = ("metadata.csv", "metadata.jsonl")
"""Names of metadata files, in lower case."""


@dataclass
class Ignored:
    """What was passed over while looking for pictures."""

    others: Counter[str] = field(default_factory=Counter)
    """Number of other files by extension, and of names that are no text."""
    links: list[str] = field(default_factory=list)
    """Links that were not followed."""
    unreadable: list[str] = field(default_factory=list)
    """Folders that can't be opened."""
    metadata: list[str] = field(default_factory=list)
    """Metadata files, which `others` count too."""


def images_below(
    tops: Sequence[Path], root: Path, ignored: Ignored | None = None
) -> dict[Path, list[str]]:
    """Paths of the images below each of some folders, sorted.

    Args:
        tops: the folders.
        root: contains them.
        ignored: collects what is passed over.
    """
    ignored = ignored or Ignored()
    found: dict[Path, list[str]] = {top: [] for top in tops}
    all_folders = walk(tops, root)
    ignored.links += all_folders.skipped
    ignored.unreadable += all_folders.unreadable
    for top, folder, names in all_folders.folders:
        found[top] += pictures_in(folder, names, ignored)
    return found


def pictures_in(folder: str, names: Iterable[str], ignored: Ignored) -> Iterator[str]:
    """Paths of the images among the files of one folder."""
    prefix, in_text = os.path.join(folder, ""), is_text(folder)
    for name in names:
        if name[0] == ".":
            continue
        ending = name[dot:].lower() if (dot := name.rfind(".")) > 0 else ""
        if not (in_text and is_text(name)):
            ignored.others[_NO_UTF8] += 1
        elif ending not in ENDINGS:
            ignored.others[ending or "no extension"] += 1
            if name.lower() in METADATA:
                ignored.metadata.append(prefix + name)
        else:
            yield prefix + name


def image_files(top: Path) -> tuple[list[str], list[Problem]]:
    """Paths of all images below a folder, sorted, and what was passed over."""
    ignored = Ignored()
    return sorted(images_below([top], top.parent, ignored)[top]), list_problems(top, ignored)


def is_text(path: str) -> bool:
    """Whether a path is valid Unicode: on Linux a name may be any bytes."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def metadata_file(folder: Path) -> Path | None:
    """The metadata file of a folder, in any case; None if it has none.

    Raises:
        DataError: if there are several, as in Hugging Face's ImageFolder.
    """
    found = sorted(path for path in folder.iterdir() if path.name.lower() in METADATA)
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise DataError(
            f"{folder}: has {names}, and only one metadata file is read. Merge them, or rename "
            "the one that is not wanted"
        )
    return found[0] if found else None


def unread_metadata(ignored: Ignored, read: Collection[str] = ()) -> list[Problem]:
    """Metadata files that are not `read`. The counts of other files no longer have any of them."""
    what = "is not read: a metadata file counts in the root or in the folder of each split only"
    problems = []
    for path in ignored.metadata:
        ignored.others[os.path.splitext(path)[1].lower()] -= 1
        if path not in read:
            problems.append(Problem("ignored_files", path, what))
    ignored.others = +ignored.others
    return problems


def list_endings(others: Counter[str]) -> str:
    """The most frequent extensions in parentheses, pictures first; empty if there are none."""
    if not others:
        return ""
    ordered = sorted(others.most_common(), key=lambda item: item[0] not in _OTHER_PICTURES)
    rest = sum(count for _, count in ordered[_NAMED:])
    kinds = [f"{count} {ending}" for ending, count in ordered[:_NAMED]]
    kinds += [f"{rest} others"] if rest else []
    convert = ". Convert pictures to JPEG or PNG" if ordered[0][0] in _OTHER_PICTURES else ""
    return f" (ignored: {', '.join(kinds)}{convert})"


def list_problems(root: Path, ignored: Ignored) -> list[Problem]:
    """What was passed over."""
    what = "a link to a folder that is read already, or to a folder above it; not followed"
    problems = [Problem("ignored_files", link, what) for link in ignored.links]
    what = "this folder can't be read; its pictures are left out. Change its permissions"
    problems += [Problem("ignored_files", folder, what) for folder in ignored.unreadable]
    if count := ignored.others.pop(_NO_UTF8, 0):
        noun = "file or folder whose name is" if count == 1 else "files or folders whose names are"
        what = f"{count} {noun} not UTF-8; rename them"
        problems.append(Problem("ignored_files", str(root), what))
    if count := ignored.others.total():
        noun = "file with another extension" if count == 1 else "files with other extensions"
        what = f"{count} {noun}{list_endings(ignored.others)}"
        problems.append(Problem("ignored_files", str(root), what))
    return problems
