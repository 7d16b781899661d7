"""Every image decoded once in full when a data set is opened: its identity, size and soundness."""

import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import numpy as np

from tinyrefinery.data.blobs import Blobs
from tinyrefinery.data.decode import decode
from tinyrefinery.data.verified import Findings, recall, remember
from tinyrefinery.errors import DataError

_CHUNK = 128  # images a task: enough to hide the pool's overhead, few enough for a smooth bar


class Shelf:
    """Pixels kept while they are being verified, so long as all images have one size and fit.

    `array` is uint8 (N, C, H, W), or None before the first image, and for good once an image of
    another size came or the limit in bytes would be passed.
    """

    def __init__(self, n: int, channels: int, limit: int) -> None:
        self.n, self.channels, self.limit = n, channels, limit
        self.array: np.ndarray | None = None
        self.open = n > 0 and limit > 0

    def prepare(self, height: int, width: int) -> None:
        """Make room for images of this size, or close for good."""
        if self.n * self.channels * height * width > self.limit:
            self.open = False
        else:
            self.array = np.empty((self.n, self.channels, height, width), np.uint8)

    def put(self, row: int, pixels: np.ndarray) -> None:
        """Keep one image, uint8 (H, W, C)."""
        array = self.array
        if not self.open or array is None:
            return
        if pixels.shape[:2] != array.shape[2:]:
            self.open, self.array = False, None
        else:
            array[row] = pixels.transpose(2, 0, 1)


def examine(
    blobs: Blobs, *, channels: int, home: str, stamps: list[str] | None, resident_bytes: int
) -> tuple[Findings, np.ndarray | None]:
    """Decode every image that isn't known from an earlier opening, and keep the pixels if they fit.

    Args:
        blobs: the encoded images.
        channels: 1 or 3, of the pixels that are kept.
        home: names the source in the cache.
        stamps: a text an image that changes with its bytes; None to use no cache.
        resident_bytes: keep the pixels when all whole images have one size and fit; 0 to keep none.

    Returns:
        What was found, and the pixels as uint8 (N, C, H, W) or None; those of broken images are
        undefined.
    """
    n = len(blobs)
    findings = Findings.nothing(n) if stamps is None else recall(home, stamps)
    known = findings.known
    shelf = _shelf(blobs, findings, channels, resident_bytes)

    def work(rows: Iterable[int]) -> int:
        """Look at some rows; how many they were."""
        count = 0
        for row in rows:
            count += 1
            if not known[row] or (shelf.open and not findings.reasons[row]):
                _look(blobs, row, channels, findings, shelf)
        return count

    if shelf.open or not known.all():
        chunks = [range(at, min(at + _CHUNK, n)) for at in range(0, n, _CHUNK)]
        with ThreadPoolExecutor(_cores()) as pool:
            for _ in _shown(pool.map(work, chunks), n):
                pass
    if stamps is not None and not known.all():
        remember(home, stamps, findings)
    return findings, shelf.array if shelf.open else None


def _look(blobs: Blobs, row: int, channels: int, findings: Findings, shelf: Shelf) -> None:
    try:
        data = blobs[row]
    except OSError as error:  # no identity, hence not remembered: the next opening tries again
        findings.reasons[row] = f"can't be read ({error.strerror or error})"
        return
    try:
        pixels = decode(data, channels)
    except DataError as error:
        findings.reasons[row] = str(error)
        findings.sizes[row] = 0
    else:
        findings.sizes[row] = pixels.shape[:2]
        shelf.put(row, pixels)
    if not findings.ids[row]:
        findings.ids[row] = sha256(data).hexdigest()


def _shelf(blobs: Blobs, findings: Findings, channels: int, limit: int) -> Shelf:
    """A shelf for the size that the known images have, or that the first whole one turns out to."""
    shelf = Shelf(len(blobs), channels, limit)
    sizes = np.unique(findings.sizes[findings.whole], axis=0)
    if len(sizes) > 1:
        shelf.open = False
    for row in range(len(blobs) if shelf.open and not len(sizes) else 0):
        _look(blobs, row, channels, findings, Shelf(0, channels, 0))
        if findings.sizes[row].any():
            sizes = findings.sizes[row : row + 1]
            break
    if shelf.open and len(sizes):
        shelf.prepare(*(int(side) for side in sizes[0]))
    elif not len(sizes):
        shelf.open = False
    return shelf


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def _shown(counts: Iterator[int], total: int) -> Iterator[int]:
    """Pass the counts through, with a progress bar where a person is watching."""
    if not sys.stderr.isatty():
        yield from counts
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("verifying images", total=total)
        for count in counts:
            bar.advance(task, count)
            yield count
