"""Fingerprints of images: small gray pictures, and the low frequencies of their middle.

The low frequencies are those of a discrete cosine transform, as in the perceptual hash pHash
(Zauner 2010, "Implementation and benchmarking of perceptual image hash functions"), but kept as
numbers instead of signs, and taken from the middle of the picture. So borders and captions do not
matter. A mirrored image has the same frequencies, but those that are odd in x change sign.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tinyrefinery.data.properties.small_images import Chunk

SIDE = 32  # pixels per side of a thumbnail
LOW = 6  # frequencies per direction; the constant one does not count
FLAT = 4.0  # gray levels, our choice: below this standard deviation, frequencies are noise
TINY = 14  # pixels per side, our choice: a smaller image has too little detail; half a digit has it
_BLOCK = 1024  # thumbnails at a time, as numbers: they fit in the processor's cache
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Window:
    """A part of the thumbnail, in pixels. It is symmetric in x, so that mirroring keeps it."""

    top: int
    bottom: int
    left: int
    right: int

    def cut(self, thumbs: np.ndarray) -> np.ndarray:
        """Its pixels, (n, bottom - top, right - left)."""
        return thumbs[:, self.top : self.bottom, self.left : self.right]


MIDDLE = Window(6, 26, 2, 30)
"""Our choice: a border of up to 6 % lies outside, and so does a caption of up to 18 % at the
top or at the bottom."""


@dataclass(frozen=True)
class Fingerprints:
    """Fingerprints of N images."""

    thumbs: np.ndarray
    """(N, SIDE, SIDE) uint8: luma, resized to a square."""
    flat: np.ndarray
    """(N,) bool: the image is nearly uniform or tiny, so it has no detail to compare."""
    coarse: np.ndarray
    """(N,) bool: the image has fewer pixels than its thumbnail, so it lacks the finest detail."""

    @classmethod
    def concatenate(cls, parts: Iterable["Fingerprints"], n: int | None = None) -> "Fingerprints":
        """The images of all parts, in order.

        Args:
            parts: of some images each.
            n: how many images these are together. If it is given, each part is copied into its
                place as it comes, so that no two copies of all of them are in memory.
        """
        if n is None:
            parts = list(parts)
            n = sum(len(part.flat) for part in parts)
        whole = cls(np.empty((n, SIDE, SIDE), np.uint8), np.empty(n, bool), np.empty(n, bool))
        at = 0
        for part in parts:
            place = slice(at, at := at + len(part.flat))
            whole.thumbs[place] = part.thumbs
            whole.flat[place], whole.coarse[place] = part.flat, part.coarse
        return whole

    def select(self, rows: np.ndarray) -> "Fingerprints":
        """The fingerprints of some rows, in that order."""
        return Fingerprints(self.thumbs[rows], self.flat[rows], self.coarse[rows])


def fingerprint(chunk: Chunk) -> Fingerprints:
    """Fingerprints of a chunk's images, in the order of its rows."""
    n = len(chunk.rows)
    prints = Fingerprints(np.empty((n, SIDE, SIDE), np.uint8), np.empty(n, bool), np.empty(n, bool))
    for stack in chunk.stacks:
        luma, shortest = _luma(stack.pixels), min(stack.pixels.shape[1:3])
        prints.thumbs[stack.places] = _squares(luma)
        spread = luma.reshape(len(luma), -1).std(1)
        prints.flat[stack.places] = (spread < FLAT) | (shortest < TINY)
        prints.coarse[stack.places] = shortest < SIDE
    return prints


def thumbnails(pixels: np.ndarray) -> np.ndarray:
    """Luma of images uint8 (n, H, W, C) as (n, SIDE, SIDE) uint8."""
    return _squares(_luma(pixels))


def _squares(luma: np.ndarray) -> np.ndarray:
    return np.rint(_resized(luma, SIDE)).astype(np.uint8)


def frequencies(thumbs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Low frequencies of the middle of thumbnails, as vectors of length 1.

    Each frequency counts with the square root of its distance from zero. Without that, the lowest
    ones outweigh all others, as in photographs amplitudes fall with frequency.

    Returns:
        The frequencies that are even in x, (n, LOW * LOW / 2), and those that are odd,
        (n, LOW * LOW / 2), float32. Two images are as similar as the scalar product of the even
        ones plus that of the odd ones. For an image and the mirror image of another, it is minus.
    """
    n, half = len(thumbs), LOW * LOW // 2
    even, odd = np.empty((2, n, half), np.float32)
    for at in range(0, n, _BLOCK):
        block = slice(at, at + _BLOCK)
        part = MIDDLE.cut(thumbs[block]).astype(np.float32)
        low = _cosines(part.shape[1]) @ part @ _cosines(part.shape[2]).T  # (n, LOW, LOW)
        low *= _weights_of_frequencies()
        low /= np.maximum(np.sqrt((low * low).sum((1, 2), keepdims=True)), 1e-6)
        even[block] = low[:, :, 0::2].reshape(-1, half)
        odd[block] = low[:, :, 1::2].reshape(-1, half)
    return even, odd


def _luma(pixels: np.ndarray) -> np.ndarray:
    values = pixels.astype(np.float32)
    return values @ _LUMA if pixels.shape[3] == 3 else values[..., 0]


def _resized(planes: np.ndarray, side: int) -> np.ndarray:
    """Planes (n, H, W) resized to (n, side, side): area averages, or linear if they are smaller."""
    rows, columns = _weights(planes.shape[1], side), _weights(planes.shape[2], side)
    return rows @ planes @ columns.T


@lru_cache(maxsize=64)
def _weights(source: int, side: int) -> np.ndarray:
    """(side, source): the weight of each source pixel in each of `side` places."""
    if source < side:
        places = np.clip((np.arange(side) + 0.5) * source / side - 0.5, 0, source - 1)
        weights = np.clip(1 - np.abs(places[:, None] - np.arange(source)), 0, None)
        return weights.astype(np.float32)
    edges = np.linspace(0, source, side + 1)
    pixels = np.arange(source)
    overlap = np.minimum(pixels + 1, edges[1:, None]) - np.maximum(pixels, edges[:-1, None])
    weights = np.clip(overlap, 0, None)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


@lru_cache(maxsize=4)
def _cosines(n: int) -> np.ndarray:
    """The first LOW rows of the orthonormal DCT-II of length n."""
    scale = np.where(np.arange(LOW) == 0, np.sqrt(1 / n), np.sqrt(2 / n))[:, None]
    angles = np.pi / n * np.outer(np.arange(LOW), np.arange(n) + 0.5)
    return (scale * np.cos(angles)).astype(np.float32)


@lru_cache(maxsize=1)
def _weights_of_frequencies() -> np.ndarray:
    """(LOW, LOW): the weight of each frequency, 0 for the constant one."""
    down, across = np.mgrid[:LOW, :LOW]
    return np.sqrt(np.hypot(down, across)).astype(np.float32)
