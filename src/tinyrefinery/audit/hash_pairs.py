"""Pairs of hashes that differ in few bits, found by comparing all pairs."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tinyrefinery.data.examine import cores

_BLOCK = 1 << 19  # pairs at a time: they fit in the processor's cache
NONE = np.uint64(0)  # flips no bit
_ALL_PAIRS = 16  # up to this many rows with the same hash, all their pairs are listed


def close_pairs(hashes: np.ndarray, most: int, flip: np.uint64 = NONE) -> np.ndarray:
    """Find pairs (P, 2) int64 of positions i < j whose hashes differ in at most `most` bits.

    With `flip`, one hash of each pair is compared with these bits flipped, which finds pairs of
    mirror images. An image is never paired with itself.

    Time grows with the square of the number of distinct hashes: 100,000 take about half a minute
    on one core. Among more than `_ALL_PAIRS` rows with the same hash (such as a camera's blank
    frames), each is paired only with the first one and with the next one. This bounds memory, and
    connected groups of pairs are still complete.

    Args:
        hashes: (N,) uint64.
        most: largest number of different bits, 0 to 64.
        flip: bits to flip.
    """
    order = np.argsort(hashes, kind="stable")
    unique, starts, counts = np.unique(hashes[order], return_index=True, return_counts=True)
    pairs = [_expanded(order, starts, counts, _distinct_pairs(unique, most, flip))]
    if int(np.bitwise_count(flip)) <= most:
        for place in np.flatnonzero(counts > 1):
            pairs.append(_same_hash_pairs(order[starts[place] : starts[place] + counts[place]]))
    return np.unique(np.sort(np.concatenate(pairs), axis=1), axis=0)


def _distinct_pairs(unique: np.ndarray, most: int, flip: np.uint64) -> np.ndarray:
    """Pairs (P, 2) of places in `unique` whose hashes are near, the first below the second."""
    n = len(unique)
    step = max(1, _BLOCK // max(n, 1))

    def near_pairs(at: int) -> np.ndarray:
        """The near pairs whose first place is one of `step` places from `at` on."""
        rest = unique[at + 1 :]
        bits = np.bitwise_count((unique[at : at + step] ^ flip)[:, None] ^ rest[None, :])
        first, second = np.nonzero(bits <= most)
        keep = second >= first  # the block's own triangle once
        return np.stack([first[keep] + at, second[keep] + at + 1], 1)

    with ThreadPoolExecutor(cores()) as pool:
        blocks = list(pool.map(near_pairs, range(0, max(n - 1, 0), step)))
    return np.concatenate([np.empty((0, 2), np.int64), *blocks])


def _expanded(
    order: np.ndarray, starts: np.ndarray, counts: np.ndarray, near: np.ndarray
) -> np.ndarray:
    """Pairs of positions for pairs of distinct hashes: all combinations where these are few."""
    few = counts[near].prod(1) <= _ALL_PAIRS**2
    single = (counts[near] == 1).all(1)
    pairs = [order[starts[near[~few]]], order[starts[near[single]]]]
    for a, b in near[few & ~single]:
        rows_a = order[starts[a] : starts[a] + counts[a]]
        rows_b = order[starts[b] : starts[b] + counts[b]]
        grid = np.stack(np.meshgrid(rows_a, rows_b, indexing="ij"), 2)
        pairs.append(grid.reshape(-1, 2))
    return np.concatenate(pairs).reshape(-1, 2)


def _same_hash_pairs(rows: np.ndarray) -> np.ndarray:
    """Pairs of rows that have the same hash."""
    if len(rows) <= _ALL_PAIRS:
        first, second = np.triu_indices(len(rows), 1)
        return np.stack([rows[first], rows[second]], 1)
    to_first = np.stack([np.broadcast_to(rows[0], len(rows) - 1), rows[1:]], 1)
    return np.concatenate([to_first, np.stack([rows[:-1], rows[1:]], 1)])
