"""Detect changes of files without reading them."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from glob import glob
from hashlib import sha256
from pathlib import Path
from typing import Any

from tinyrefinery.data.walk import walk

_PATH_OPTIONS = ("root", "path", "data_dir", "data_files", "exclude", "overlay")


def file_stamps(paths: Iterable[str]) -> list[str]:
    """Path, size and modification time of each file as a text, or a mark that it is missing."""
    folders: dict[str, str] = {}  # as the paths name them -> absolute, each found once
    return [_file_stamp(path, folders) for path in paths]


def _file_stamp(path: str, folders: dict[str, str]) -> str:
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # the error follows when the file is read
        return f"{path}\x1fmissing"
    cut = path.rfind(os.sep) + 1
    folder, name = path[:cut], path[cut:]
    if name in ("", os.curdir, os.pardir) or (os.altsep and os.altsep in name):
        absolute = os.path.abspath(path)
    else:
        if folder not in folders:
            folders[folder] = os.path.join(os.path.abspath(folder), "")
        absolute = folders[folder] + name
    return f"{absolute}\x1f{status.st_size}\x1f{status.st_mtime_ns}"


def source_stamp(options: Mapping[str, Any]) -> str:
    """SHA-256 (hex) over path, size and modification time of all files in a source's options.

    Synthetic sources, and datasets from a hub, have no files here. The hub's revision is one of
    the options.

    Args:
        options: of the source, from a recipe.
    """
    digest = sha256()
    for text in _texts([options[name] for name in _PATH_OPTIONS if options.get(name)]):
        for path, status in _files(Path(os.path.expanduser(text))):
            digest.update(f"{path}\x1f{status.st_size}\x1f{status.st_mtime_ns}\x1e".encode())
    return digest.hexdigest()


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _files(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    """The file itself, all files of a folder, or all files that match a pattern, sorted."""
    if path.is_file():
        yield str(path), path.stat()
        return
    if not path.is_dir():
        for match in sorted(glob(re.sub(r"\{[^}]*\}", "*", str(path)), recursive=True)):
            if os.path.isfile(match):
                yield match, os.stat(match)
        return
    for _, folder, _ in walk([path]).folders:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name[0] != "." and entry.is_file():
                    yield entry.path, entry.stat()
