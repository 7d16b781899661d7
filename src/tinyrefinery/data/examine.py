"""Decode all images once when a dataset is opened, to find their identity, size and defects."""

import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import numpy as np

from tinyrefinery.data.blobs import Blobs
from tinyrefinery.data.decode import decode
from tinyrefinery.data.findings_cache import Findings, read_findings, write_findings
from tinyrefinery.data.pixels_cache import read_pixels, write_pixels
from tinyrefinery.errors import DataError

_CHUNK = 128  # images per task: hides the pool's overhead and keeps the progress bar smooth


class Shelf:
    """Keeps the decoded pixels of all images, if they have the same size and fit in memory.

    `array` is uint8 (N, C, H, W). It is None before the first image, and after an image of another
    size or if a limit would be exceeded: on all bytes, or on the shorter side in pixels.
    """

    def __init__(self, n: int, channels: int, limit: int, side: int | None = None) -> None:
        self.n, self.channels, self.limit, self.side = n, channels, limit, side
        self.array: np.ndarray | None = None
        self.open = n > 0 and limit > 0

    def prepare(self, height: int, width: int) -> None:
        """Allocate memory for images of this size, or close if they don't fit."""
        if self.takes(height, width):
            self.array = np.empty((self.n, self.channels, height, width), np.uint8)
        else:
            self.open = False

    def takes(self, height: int, width: int) -> bool:
        """Whether images of this size are within the limits."""
        large = self.side is not None and min(height, width) > self.side
        return not large and self.n * self.channels * height * width <= self.limit

    def put(self, row: int, pixels: np.ndarray) -> None:
        """Store one image, uint8 (H, W, C)."""
        array = self.array
        if not self.open or array is None:
            return
        if pixels.shape[:2] != array.shape[2:]:
            self.open, self.array = False, None
        else:
            array[row] = pixels.transpose(2, 0, 1)


def examine(
    blobs: Blobs,
    *,
    channels: int,
    home: str,
    stamps: list[str] | None,
    resident_bytes: int,
    resident_side: int | None = None,
) -> tuple[Findings, np.ndarray | None]:
    """Decode all images that are not in the caches, and keep the pixels if they fit.

    Args:
        blobs: the encoded images.
        channels: 1 or 3, of the kept pixels.
        home: name of the source in the cache.
        stamps: one text per image that changes with its bytes; None to use no cache.
        resident_bytes: keep the pixels if all intact images have one size and fit; 0 to keep none.
        resident_side: and if their shorter side has no more pixels than this; None: any size.

    Returns:
        The findings, and the pixels as uint8 (N, C, H, W) or None. Pixels of broken images mean
        nothing.
    """
    n = len(blobs)
    findings = Findings.nothing(n) if stamps is None else read_findings(home, stamps)
    cached, ids = findings.examined, list(findings.ids)
    known = resident_bytes > 0 and stamps is not None and n > 0 and bool(cached.all())
    if known and (array := read_pixels(home, channels, findings.ids)) is not None:
        shelf = Shelf(n, channels, resident_bytes, resident_side)
        if shelf.takes(*array.shape[2:]):
            return findings, array
    shelf = _shelf(blobs, findings, Shelf(n, channels, resident_bytes, resident_side))

    def examine_rows(rows: Iterable[int]) -> int:
        """Examine the images that are not cached, and return the number of rows."""
        count = 0
        for row in rows:
            count += 1
            # The shelf needs the pixels of cached images too.
            if not cached[row] or (shelf.open and not findings.reasons[row]):
                _examine_image(blobs, row, channels, findings, shelf)
        return count

    if shelf.open or not cached.all():
        chunks = [range(start, min(start + _CHUNK, n)) for start in range(0, n, _CHUNK)]
        with ThreadPoolExecutor(cores()) as pool:
            for _ in _with_progress(pool.map(examine_rows, chunks), n):
                pass
    if stamps is not None and findings.ids != ids:
        write_findings(home, stamps, findings)
    array = shelf.array if shelf.open else None
    if array is not None and stamps is not None and all(findings.ids):
        array[~findings.intact] = 0
        write_pixels(home, findings.ids, array)
    return findings, array


def _examine_image(blobs: Blobs, row: int, channels: int, findings: Findings, shelf: Shelf) -> None:
    try:
        data = blobs[row]
    except OSError as error:
        findings.reasons[row] = f"can't be read ({error.strerror or error})"
        findings.ids[row] = ""  # so nothing of it is cached, and the next opening tries again
        return
    findings.reasons[row] = ""
    try:
        pixels = decode(data, channels)
    except DataError as error:
        findings.reasons[row] = str(error)
        findings.sizes[row] = 0
    else:
        findings.sizes[row] = pixels.shape[:2]
        findings.one_color[row] = has_one_color(pixels)
        findings.brightest[row] = pixels.max()
        shelf.put(row, pixels)
    # Also of cached images: pixels are kept under the identity of the very bytes they are from.
    findings.ids[row] = sha256(data).hexdigest()


def has_one_color(pixels: np.ndarray) -> bool:
    """Whether all pixels of an image, uint8 (H, W, C), are equal."""
    first = pixels[0, 0]
    return bool((pixels[0] == first).all() and (pixels == first).all())


def _shelf(blobs: Blobs, findings: Findings, shelf: Shelf) -> Shelf:
    """Prepare it for the size of the cached images or, without any, of the first intact image."""
    sizes = np.unique(findings.sizes[findings.intact], axis=0)
    if len(sizes) > 1:
        shelf.open = False
    for row in range(len(blobs) if shelf.open and not len(sizes) else 0):
        _examine_image(blobs, row, shelf.channels, findings, Shelf(0, shelf.channels, 0))
        if findings.sizes[row].any():
            sizes = findings.sizes[row : row + 1]
            break
    if shelf.open and len(sizes):
        shelf.prepare(*(int(side) for side in sizes[0]))
    elif not len(sizes):
        shelf.open = False
    return shelf


def cores() -> int:
    """Number of processor cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def _with_progress(counts: Iterator[int], total: int) -> Iterator[int]:
    """Pass the counts through, with a progress bar in a terminal."""
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
