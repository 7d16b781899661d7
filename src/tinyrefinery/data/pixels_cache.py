"""A cache of decoded pixels, so that reopening a dataset of small images decodes nothing.

There is one file per source and number of channels. It begins with the digest of everything after
its first line, then come one line of facts and the pixels. A file that is damaged, or of other
images, is not used, and the next opening writes it again. All files together are bounded: those
that were not used for longest are removed first.
"""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numpy as np

from tinyrefinery.errors import StorageError
from tinyrefinery.files import atomic_file, cache_folder, remove_half_written

MOST_BYTES = 2 << 30
"""Largest array that is kept: as much as is kept in memory by default."""
MOST_TOGETHER = 8 << 30
"""Our choice: bytes of all files together."""
_TITLE = b"tinyrefinery pixels "
_VERSION = 1  # raise it when `decode` gives other pixels
_LONGEST = 1000  # bytes in a line


def read_pixels(home: str, channels: int, ids: Sequence[str]) -> np.ndarray | None:
    """The pixels of exactly these images, uint8 (N, C, H, W); None where the cache lacks them.

    The array is mapped from the file, so processes share its memory. Changes stay in memory.

    Args:
        home: name of the source.
        channels: 1 or 3.
        ids: SHA-256 of the bytes of each image, (N,).
    """
    path = _file(home, channels)
    try:
        with path.open("rb") as file:
            title, facts = file.readline(_LONGEST), file.readline(_LONGEST)
            begin, end = file.tell(), file.seek(0, os.SEEK_END)
        shape = _shape(facts, ids)
        if shape is None or shape[:2] != (len(ids), channels) or end - begin != np.prod(shape):
            return None
        array = np.memmap(path, np.uint8, mode="c", offset=begin, shape=shape)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if title != _title(facts, array):
        return None
    with suppress(OSError):
        os.utime(path)  # `_make_room` removes what was not used for longest
    return np.asarray(array)


def write_pixels(home: str, ids: Sequence[str], array: np.ndarray) -> None:
    """Keep the pixels of images, uint8 (N, C, H, W), replacing this source's earlier ones."""
    if array.nbytes > MOST_BYTES:
        return
    facts = json.dumps({"ids": _digest(ids), "shape": array.shape}).encode() + b"\n"
    path = _file(home, array.shape[1])
    _make_room(path, array.nbytes)
    try:
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            file.write(_title(facts, array) + facts)
            file.write(array.data.cast("B"))
    except (StorageError, OSError):
        pass  # opening a dataset works without a cache, even if the disk is full


def _make_room(path: Path, needed: int) -> None:
    """Remove the files that were not used for longest, until this one fits below the bound.

    A process that has mapped one of them keeps its pixels: the disk is free when it ends.
    """
    remove_half_written(shared=[path.parent])
    others: list[tuple[float, int, Path]] = []
    for other in path.parent.glob("*.bin"):
        with suppress(OSError):  # another process removed it
            status = other.stat()
            if other != path:
                others.append((status.st_mtime, status.st_size, other))
    total = needed + sum(size for _, size, _ in others)
    for _, size, other in sorted(others):
        if total <= MOST_TOGETHER:
            break
        with suppress(OSError):  # on Windows, a mapped file can't be removed
            other.unlink()
            total -= size


def _shape(facts: bytes, ids: Sequence[str]) -> tuple[int, ...] | None:
    """Shape of the pixels; None where they are of other images."""
    content = json.loads(facts)
    return tuple(map(int, content["shape"])) if content["ids"] == _digest(ids) else None


def _title(facts: bytes, array: np.ndarray) -> bytes:
    """The first line."""
    digest = sha256(facts)
    digest.update(array.data.cast("B"))
    return _TITLE + digest.hexdigest().encode() + b"\n"


def _digest(ids: Sequence[str]) -> str:
    return sha256("\n".join(ids).encode()).hexdigest()


def _file(home: str, channels: int) -> Path:
    name = sha256(f"{_VERSION}\x1f{channels}\x1f{home}".encode()).hexdigest()[:24]
    return cache_folder() / "pixels" / f"{name}.bin"
