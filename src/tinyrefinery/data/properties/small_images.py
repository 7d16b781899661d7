"""Small versions of images, stacked by size, for fast measurements on thousands of images.

Images with more than `LONGEST` pixels on the longer side are reduced to that by area averaging.
Others keep their size. So measurements depend on the image only, not on others in its stack, and
photographs of different cameras are compared at the same scale.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import Image

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.decode import decode
from tinyrefinery.data.examine import cores
from tinyrefinery.data.images import ChangedImageError, EncodedImages, ResidentImages
from tinyrefinery.errors import DataError

LONGEST = 128  # our choice: enough to distinguish images, 50 times faster than 12 megapixels
_CHUNK = 128  # images per task
_VALUES = 1 << 20  # per stack: intermediate results stay in the processor's cache

T = TypeVar("T")


@dataclass(frozen=True)
class Stack:
    """Images of one size."""

    places: np.ndarray
    """Their positions in the chunk, (n,) int64."""
    pixels: np.ndarray
    """uint8 (n, H, W, C), C-contiguous."""


@dataclass(frozen=True)
class Chunk:
    """Some rows of a data set with their small images."""

    rows: np.ndarray
    """Manifest rows, (n,) int64."""
    stacks: tuple[Stack, ...]
    """Each row is in one of them."""

    def measure(self, measure: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Apply a function of stacks (m, H, W, C) -> (m, ...); results in the order of `rows`."""
        results = [(stack.places, measure(stack.pixels)) for stack in self.stacks]
        out = np.empty((len(self.rows), *results[0][1].shape[1:]), results[0][1].dtype)
        for places, values in results:
            out[places] = values
        return out


def map_chunks(dataset: Dataset, rows: np.ndarray, work: Callable[[Chunk], T]) -> Iterator[T]:
    """Apply `work` to the rows in chunks, in several threads; yields the results in order.

    Raises:
        ChangedImageError: if an image is no longer readable.
    """
    rows = np.asarray(rows, np.int64)
    chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    with ThreadPoolExecutor(cores()) as pool:
        yield from pool.map(lambda chunk: work(load_chunk(dataset, chunk)), chunks)


def load_chunk(dataset: Dataset, rows: np.ndarray) -> Chunk:
    """Decode and reduce some rows."""
    images = dataset.images
    if isinstance(images, ResidentImages):
        full = images.array[rows].permute(0, 2, 3, 1).contiguous().cpu().numpy()
        if max(full.shape[1:3]) <= LONGEST:
            return Chunk(rows, tuple(_cut(np.arange(len(rows)), full)))
        pixels = [shrink(image) for image in full]
    else:
        pixels = [shrink(_pixels(dataset, int(row))) for row in rows]
    return Chunk(rows, tuple(_stacks(pixels)))


def shrink(pixels: np.ndarray) -> np.ndarray:
    """Reduce an image, uint8 (H, W, C), to at most `LONGEST` pixels high and wide."""
    height, width = pixels.shape[:2]
    scale = LONGEST / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    flat = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    small = Image.fromarray(flat).resize(size, Image.Resampling.BOX)
    return np.asarray(small).reshape(size[1], size[0], pixels.shape[2])


def _pixels(dataset: Dataset, row: int) -> np.ndarray:
    images = dataset.images
    if not isinstance(images, EncodedImages):
        return images.pixels(row)
    try:
        return decode(images.encoded(row), images.channels, LONGEST)
    except (OSError, DataError) as error:
        raise ChangedImageError(row, str(error)) from error


def _stacks(pixels: list[np.ndarray]) -> Iterator[Stack]:
    """Stack images of the same size."""
    by_size: dict[tuple[int, ...], list[int]] = {}
    for place, image in enumerate(pixels):
        by_size.setdefault(image.shape, []).append(place)
    for places in by_size.values():
        yield from _cut(np.array(places), np.stack([pixels[place] for place in places]))


def _cut(places: np.ndarray, pixels: np.ndarray) -> Iterator[Stack]:
    """Cut images of one size into stacks of limited size."""
    step = max(1, _VALUES // max(1, pixels[0].size)) if len(pixels) else 1
    for start in range(0, len(pixels), step):
        yield Stack(places[start : start + step], pixels[start : start + step])
