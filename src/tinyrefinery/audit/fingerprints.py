"""Fingerprints of images, nearly equal for copies whose bytes differ.

A perceptual hash after Zauner (2010, "Implementation and benchmarking of perceptual image hash
functions"): the signs of the low frequencies of a discrete cosine transform. A mirrored image has
the same frequencies, but those that are odd in x change sign. So the hash of the mirror image is
the hash with a fixed set of bits flipped, and mirror pairs need no second transform.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tinyrefinery.data.properties.small_images import Chunk

SIDE = 32  # pixels per side of the luma plane that is transformed, as in pHash
LOW = 8  # frequencies per direction; without the constant one, 63 bits are left
THUMB = 24  # pixels per side of the thumbnail that confirms a match of hashes
FLAT = 4.0  # gray levels, our choice: below this standard deviation, the signs are noise
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Fingerprints:
    """Fingerprints of N images."""

    hashes: np.ndarray
    """(N,) uint64. Bit 8 v + u is set if frequency v down, u across is positive. Bit 0 is 0."""
    thumbs: np.ndarray
    """(N, THUMB, THUMB, C) uint8, resized to a square."""
    flat: np.ndarray
    """(N,) bool: the image is nearly uniform, so its hash is noise."""

    @classmethod
    def concatenate(cls, parts: list["Fingerprints"]) -> "Fingerprints":
        """The images of all parts, in order."""
        return cls(
            np.concatenate([part.hashes for part in parts]),
            np.concatenate([part.thumbs for part in parts]),
            np.concatenate([part.flat for part in parts]),
        )


MIRROR = np.uint64(sum(1 << (LOW * v + u) for v in range(LOW) for u in range(1, LOW, 2)))
"""Bits that differ between the hashes of an image and its mirror image."""


def fingerprint(chunk: Chunk) -> Fingerprints:
    """Fingerprints of a chunk's images, in the order of its rows."""
    return Fingerprints(chunk.measure(hashes), chunk.measure(thumbnails), chunk.measure(_is_flat))


def hashes(pixels: np.ndarray) -> np.ndarray:
    """Perceptual hashes (n,) uint64 of images uint8 (n, H, W, C)."""
    plane = _resized(_luma(pixels), SIDE)
    cosines = _cosines(SIDE)[:LOW]
    frequencies = cosines @ plane @ cosines.T
    bits = (frequencies > 0).reshape(len(pixels), -1)
    bits[:, 0] = False
    return (bits * (np.uint64(1) << np.arange(LOW * LOW, dtype=np.uint64))).sum(1, dtype=np.uint64)


def thumbnails(pixels: np.ndarray) -> np.ndarray:
    """Images uint8 (n, H, W, C) as (n, THUMB, THUMB, C)."""
    planes = [_resized(pixels[..., c].astype(np.float32), THUMB) for c in range(pixels.shape[3])]
    return np.rint(np.stack(planes, 3)).astype(np.uint8)


def likeness(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation of each pair of thumbnails, (n,) from -1 to 1; 0 where one of them is uniform.

    All color planes count together. Changes of brightness or contrast do not matter.
    """
    # (n, h, w, C) -> (n, h w C), each row with mean 0
    x, y = (thumbs.reshape(len(thumbs), int(np.prod(thumbs.shape[1:]))) for thumbs in (a, b))
    x, y = (rows - rows.mean(1, keepdims=True, dtype=np.float32) for rows in (x, y))
    norms = np.sqrt((x * x).sum(1) * (y * y).sum(1))
    return np.where(norms > 0, (x * y).sum(1) / np.maximum(norms, 1e-9), 0.0)


def _luma(pixels: np.ndarray) -> np.ndarray:
    values = pixels.astype(np.float32)
    return values @ _LUMA if pixels.shape[3] == 3 else values[..., 0]


def _is_flat(pixels: np.ndarray) -> np.ndarray:
    return _luma(pixels).reshape(len(pixels), -1).std(1) < FLAT


def _resized(planes: np.ndarray, side: int) -> np.ndarray:
    """Planes (n, H, W) resized to (n, side, side) by averaging areas."""
    rows, columns = _areas(planes.shape[1], side), _areas(planes.shape[2], side)
    return rows @ planes @ columns.T


@lru_cache(maxsize=64)
def _areas(source: int, side: int) -> np.ndarray:
    """(side, source): the weight of each source pixel in each of `side` equal intervals."""
    edges = np.linspace(0, source, side + 1)
    pixels = np.arange(source)
    overlap = np.minimum(pixels + 1, edges[1:, None]) - np.maximum(pixels, edges[:-1, None])
    weights = np.clip(overlap, 0, None)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


@lru_cache(maxsize=4)
def _cosines(n: int) -> np.ndarray:
    """The DCT-II as a matrix (n, n), without its scale factors, as these change no sign."""
    return np.cos(np.pi / n * np.outer(np.arange(n), np.arange(n) + 0.5)).astype(np.float32)
