"""Pairs of images that may be copies, found by comparing the low frequencies of all pairs."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from tinyrefinery.data.copies.fingerprints import frequencies
from tinyrefinery.data.examine import cores

SIMILAR = 0.84  # our choice: smallest similarity; benchmarks/copies.py measures what it finds
_MOST = 20  # pairs per image on average: bounds time and memory on sets of lookalikes
_SAMPLE = 1000  # images that estimate how many pairs a threshold gives
_ROWS, _COLUMNS = 128, 1024  # of a block of pairs: it fits in the processor's cache


@dataclass(frozen=True)
class Candidates:
    """P pairs of positions, the first below the second."""

    pairs: np.ndarray
    """(P, 2) int64."""
    mirrored: np.ndarray
    """(P,) bool: the first is compared with the mirror image of the second."""
    similarity: np.ndarray
    """(P,) float32, at most 1."""

    def select(self, keep: np.ndarray) -> "Candidates":
        """Some of the pairs, by a mask or by places."""
        return Candidates(self.pairs[keep], self.mirrored[keep], self.similarity[keep])


def find_candidates(
    thumbs: np.ndarray, least: float = SIMILAR, rows: np.ndarray | None = None
) -> Candidates:
    """Find the pairs of images that are similar, directly or mirrored. A pair can be both.

    Time grows with the square of the number of images. Where many images look alike, only the most
    similar pairs are returned, about 20 per image.

    Args:
        thumbs: (N, SIDE, SIDE) uint8.
        least: smallest similarity.
        rows: the images to compare, ascending; all by default.
    """
    rows_of = np.arange(len(thumbs)) if rows is None else rows
    n = len(rows_of)
    even, odd = (part[rows_of] for part in frequencies(thumbs))
    least = max(least, _bounding_threshold(even, odd))
    starts = [(at, other) for at in range(0, n, _ROWS) for other in range(at, n, _COLUMNS)]

    def similar(start: tuple[int, int]) -> np.ndarray:
        """Pairs (p, 2) of one block."""
        at, other = start
        rows, columns = slice(at, at + _ROWS), slice(other, other + _COLUMNS)
        best = _best(even[rows], odd[rows], even[columns], odd[columns])
        first, second = np.divmod(np.flatnonzero(best >= least), best.shape[1])
        keep = second + other > first + at
        return np.stack([first[keep] + at, second[keep] + other], 1)

    with ThreadPoolExecutor(cores()) as pool:
        pairs = np.concatenate([np.empty((0, 2), np.int64), *pool.map(similar, starts)])
    same = np.einsum("pf,pf->p", even[pairs[:, 0]], even[pairs[:, 1]])
    opposed = np.einsum("pf,pf->p", odd[pairs[:, 0]], odd[pairs[:, 1]])
    both = np.stack([same + opposed, same - opposed])  # (2, P)
    mirrored, place = np.nonzero(both >= least)
    return Candidates(rows_of[pairs[place]], mirrored == 1, both[mirrored, place])


def _best(
    even: np.ndarray, odd: np.ndarray, even_others: np.ndarray, odd_others: np.ndarray
) -> np.ndarray:
    """The similarity of all pairs (n, m), directly or mirrored, whichever is larger."""
    best = even @ even_others.T
    opposed = odd @ odd_others.T
    np.abs(opposed, out=opposed)
    best += opposed
    return best


def _bounding_threshold(even: np.ndarray, odd: np.ndarray) -> float:
    """The similarity that about `_MOST` pairs per image exceed, from a sample of images."""
    n = len(even)
    if n <= _MOST:
        return 0.0
    sample = np.sort(np.random.default_rng(0).choice(n, min(n, _SAMPLE), replace=False))
    even, odd = even[sample], odd[sample]
    best = _best(even, odd, even, odd)[np.triu_indices(len(sample), 1)]
    # The sample has that share of all pairs.
    expected = round(_MOST * n * len(best) / (n * (n - 1) / 2))
    if expected >= len(best):
        return 0.0
    return float(-np.partition(-best, expected)[expected])
