"""Named, counter-based random streams: any draw can be repeated anywhere.

A stream is identified by (seed, name, epoch). It uses NumPy's Philox4x64-10, a counter-based
generator (Salmon et al., 2011). Sample i has a fixed range of the counter. So its draws are the
same in bulk, one by one, in a worker process and after a resume.
"""

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b

import numpy as np

_WORDS = 4  # 64-bit words per counter step of Philox4x64
_BULK_ROWS = 1 << 16


def key(seed: int, name: str, *parts: int | str) -> int:
    """128-bit key of a stream. Different arguments give independent streams."""
    text = "\x1f".join([str(seed), name, *map(str, parts)])
    return int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "little")


def integer(seed: int, name: str, *parts: int | str) -> int:
    """A 63-bit non-negative seed for other generators, such as torch's."""
    return key(seed, name, *parts) & ((1 << 63) - 1)


def integers(seed: int, name: str, parts: Iterable[str]) -> np.ndarray:
    """`integer(seed, name, part)` of each part, (n,) int64."""
    start = f"{seed}\x1f{name}\x1f".encode()
    digests = [blake2b(start + part.encode(), digest_size=16).digest() for part in parts]
    # The low 64 of 128 bits, (n, 2) -> (n,), less the sign.
    low = np.frombuffer(b"".join(digests), "<u8").reshape(-1, 2)[:, 0]
    return (low & np.uint64((1 << 63) - 1)).astype(np.int64)


def generator(seed: int, name: str, epoch: int = 0) -> np.random.Generator:
    """A NumPy generator at the start of the stream, for draws that belong to no sample."""
    return np.random.Generator(np.random.Philox(key=key(seed, name, epoch)))


def permutation(seed: int, name: str, epoch: int, n: int) -> np.ndarray:
    """A random order of range(n), (n,) int64."""
    return generator(seed, name, epoch).permutation(n)


def uniform(seed: int, name: str, epoch: int, rows: np.ndarray, draws: int) -> np.ndarray:
    """Draws in [0, 1), `(len(rows), draws)` float64. Each row depends on its sample number only.

    Args:
        seed: the run's seed.
        name: the purpose of the draws, e.g. "crop".
        epoch: the pass over the data.
        rows: sample numbers, non-negative, in any order, repeats allowed.
        draws: numbers per sample; changing it changes the stream.
    """
    rows = np.asarray(rows, dtype=np.int64)
    steps = -(-draws // _WORDS)
    stream = key(seed, name, epoch)
    out = np.empty((len(rows), draws))
    for chunk in np.unique(rows // _BULK_ROWS):
        places = np.flatnonzero(rows // _BULK_ROWS == chunk)
        # A bulk draw costs about 150 ns per row, a jump about 15 us. So jump only for a few rows.
        if len(places) * 100 >= _BULK_ROWS or int(rows.max()) < _BULK_ROWS:
            block = _block(stream, int(chunk), steps, _block_rows(int(chunk), int(rows.max())))
            values = block.take(rows[places] - chunk * _BULK_ROWS, axis=0)[:, :draws]
            if len(places) == len(rows):
                return values
            out[places] = values
        else:
            for i in places:
                out[i] = _words(stream, int(rows[i]) * steps, steps * _WORDS)[:draws]
    return out


def _block_rows(chunk: int, last_row: int) -> int:
    """Rows to draw in a chunk, rounded up to a power of two so that the cache is hit."""
    needed = min(last_row - chunk * _BULK_ROWS + 1, _BULK_ROWS)
    return 1 << max(needed - 1, 0).bit_length()


@lru_cache(maxsize=8)
def _block(stream: int, chunk: int, steps: int, rows: int) -> np.ndarray:
    words = _words(stream, chunk * _BULK_ROWS * steps, rows * steps * _WORDS)
    return words.reshape(rows, steps * _WORDS)


def _words(stream: int, counter: int, count: int) -> np.ndarray:
    """`count` draws in [0, 1) from a position of the counter on."""
    philox = np.random.Philox(key=stream)
    philox.advance(counter)
    return np.random.Generator(philox).random(count)
