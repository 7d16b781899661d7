"""Named, counter-based random streams, so that any draw can be made again anywhere.

A stream is named by (seed, name, epoch) and built on NumPy's Philox4x64-10, a counter-based
generator (Salmon et al., 2011). Sample i owns a fixed stretch of the counter, hence its draws are
the same whether they are made in bulk, alone, in a worker process or after a resume.
"""

from functools import lru_cache
from hashlib import blake2b

import numpy as np

_WORDS = 4  # Philox4x64 yields four 64-bit words a counter step
_BULK_ROWS = 1 << 16


def key(seed: int, name: str, *parts: int | str) -> int:
    """128-bit key of a stream; different arguments give independent streams."""
    text = "\x1f".join([str(seed), name, *map(str, parts)])
    return int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "little")


def integer(seed: int, name: str, *parts: int | str) -> int:
    """A 63-bit non-negative seed for generators that are not ours (torch's, a library's)."""
    return key(seed, name, *parts) & ((1 << 63) - 1)


def generator(seed: int, name: str, epoch: int = 0) -> np.random.Generator:
    """A NumPy generator at the head of the stream, for draws that belong to no sample."""
    return np.random.Generator(np.random.Philox(key=key(seed, name, epoch)))


def permutation(seed: int, name: str, epoch: int, n: int) -> np.ndarray:
    """A random order of range(n), (n,) int64."""
    return generator(seed, name, epoch).permutation(n)


def uniform(seed: int, name: str, epoch: int, rows: np.ndarray, draws: int) -> np.ndarray:
    """Draws in [0, 1), `(len(rows), draws)` float64: each row is a function of its sample number.

    Args:
        seed: the run's seed.
        name: what the draws are for, e.g. "crop".
        epoch: the pass over the data.
        rows: sample numbers, non-negative, in any order, repeats allowed.
        draws: how many numbers each sample needs; changing it changes the stream.
    """
    rows = np.asarray(rows, dtype=np.int64)
    steps = -(-draws // _WORDS)
    stream = key(seed, name, epoch)
    out = np.empty((len(rows), draws))
    for chunk in np.unique(rows // _BULK_ROWS):
        mine = np.flatnonzero(rows // _BULK_ROWS == chunk)
        # One bulk draw costs about 150 ns a row, a jump about 15 us: jump only for a few rows.
        if len(mine) * 100 >= _BULK_ROWS or int(rows.max()) < _BULK_ROWS:
            block = _block(stream, int(chunk), steps, _size(int(chunk), int(rows.max())))
            found = block.take(rows[mine] - chunk * _BULK_ROWS, axis=0)[:, :draws]
            if len(mine) == len(rows):
                return found
            out[mine] = found
        else:
            for i in mine:
                out[i] = _stretch(stream, int(rows[i]) * steps, steps * _WORDS)[:draws]
    return out


def _size(chunk: int, last_row: int) -> int:
    """Rows to draw in a chunk, rounded up to a power of two so that the cache is hit."""
    needed = min(last_row - chunk * _BULK_ROWS + 1, _BULK_ROWS)
    return 1 << max(needed - 1, 0).bit_length()


@lru_cache(maxsize=8)
def _block(stream: int, chunk: int, steps: int, rows: int) -> np.ndarray:
    words = _stretch(stream, chunk * _BULK_ROWS * steps, rows * steps * _WORDS)
    return words.reshape(rows, steps * _WORDS)


def _stretch(stream: int, counter: int, words: int) -> np.ndarray:
    philox = np.random.Philox(key=stream)
    philox.advance(counter)
    return np.random.Generator(philox).random(words)
