"""A text that changes when the files behind a data source do, without reading them."""

import os
import re
from collections.abc import Iterator, Mapping
from glob import glob
from hashlib import sha256
from pathlib import Path
from typing import Any

_PLACES = ("root", "path", "data_dir", "data_files", "exclude", "overlay")


def source_stamp(options: Mapping[str, Any]) -> str:
    """SHA-256 (hex) over path, size and time of change of every file that a source's options name.

    A source that is made rather than read has the stamp of no file. So has one behind a name on a
    hub, whose revision is among its options.

    Args:
        options: of the source, as a recipe has them.
    """
    state = sha256()
    for text in _texts([options[name] for name in _PLACES if options.get(name)]):
        for path, status in _files(Path(os.path.expanduser(text))):
            state.update(f"{path}\x1f{status.st_size}\x1f{status.st_mtime_ns}\x1e".encode())
    return state.hexdigest()


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def _files(place: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Files at a place, in a folder or matching a pattern, sorted."""
    if place.is_file():
        yield str(place), place.stat()
        return
    if not place.is_dir():
        for match in sorted(glob(re.sub(r"\{[^}]*\}", "*", str(place)), recursive=True)):
            if os.path.isfile(match):
                yield match, os.stat(match)
        return
    for folder, inner, _ in os.walk(place, followlinks=True):
        inner[:] = sorted(name for name in inner if name[0] != ".")
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                if entry.name[0] != "." and entry.is_file():
                    yield entry.path, entry.stat()
