"""All files below folders, where each folder counts once, however many links lead to it."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SYSTEM = frozenset({"__MACOSX", "$RECYCLE.BIN", "System Volume Information", "@eaDir", "#recycle"})
"""Folders that operating systems and storage devices write. They are passed over."""


@dataclass
class Walk:
    """The folders below some folders, and the links that were not followed."""

    folders: list[tuple[Path, str, list[str]]] = field(default_factory=list)
    """For each folder: which of the given folders it is below, its path, its files."""
    skipped: list[str] = field(default_factory=list)
    """Links to folders that are read already, or that contain the link."""
    unreadable: list[str] = field(default_factory=list)
    """Folders that can't be opened."""


def is_passed_over(name: str) -> bool:
    """Whether a folder is hidden, or one of a system's own."""
    return name.startswith(".") or name in SYSTEM


def walk(tops: Sequence[Path], root: Path | None = None) -> Walk:
    """All folders below `tops`, and themselves, except hidden ones and those of systems.

    Links are followed once. A folder that is reached without a link is never reached through one.

    Args:
        tops: where to start; paths begin with these.
        root: a folder that contains `tops`. Links to it are not followed.
    """
    found, seen = Walk(), set[tuple[int, int]]()
    if root is not None:
        seen.add(_identity(str(root)))
    links = [(top, str(top)) for top in tops if top.is_symlink()]
    for top in tops:
        if not top.is_symlink():
            links += _walk_real(top, str(top), found, seen)
    for top, link in links:  # grows while links lead to more links
        if _identity(link) in seen or _contains(link):
            found.skipped.append(link)
        else:
            links += _walk_real(top, link, found, seen)
    found.folders.sort(key=lambda entry: entry[1])
    return found


def _walk_real(
    top: Path, start: str, found: Walk, seen: set[tuple[int, int]]
) -> list[tuple[Path, str]]:
    """Add the folders from `start` on that no link leads to; return the links to folders."""
    links: list[tuple[Path, str]] = []
    for folder, subfolders, names in os.walk(start, onerror=_noting(found)):
        identity = _identity(folder)
        if identity in seen and folder != str(top):
            subfolders.clear()  # mounted twice
            continue
        seen.add(identity)
        subfolders[:] = sorted(name for name in subfolders if not is_passed_over(name))
        paths = [os.path.join(folder, name) for name in subfolders]
        links += [(top, path) for path in paths if os.path.islink(path)]
        found.folders.append((top, folder, sorted(names)))
    return links


def _noting(found: Walk) -> Callable[[OSError], None]:
    """What `os.walk` calls where a folder can't be opened. A dangling link is none."""

    def note(error: OSError) -> None:
        """Keep its path."""
        if os.path.isdir(error.filename):
            found.unreadable.append(error.filename)

    return note


def _identity(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return (-1, hash(path))  # dangling: os.walk finds nothing in it
    return status.st_dev, status.st_ino


def _contains(link: str) -> bool:
    """Whether the target of a link is a folder above it."""
    target = os.path.realpath(link)
    place = os.path.realpath(os.path.dirname(link))
    return os.path.commonpath([target, place]) == target
