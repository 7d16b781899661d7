"""Detect changes of files without reading them."""

import os
import re
from collections.abc import Iterator, Mapping
from glob import glob
from hashlib import sha256
from pathlib import Path
from typing import Any

from tinyrefinery.data.walk import walk

_PATH_OPTIONS = ("root", "path", "data_dir", "data_files", "exclude", "overlay")


def file_stamp(path: str) -> str:
    """Path, size and modification time of a file as a text, or a mark that it is missing."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # the error follows when the file is read
        return f"{path}\x1fmissing"
    return f"{os.path.abspath(path)}\x1f{status.st_size}\x1f{status.st_mtime_ns}"


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
