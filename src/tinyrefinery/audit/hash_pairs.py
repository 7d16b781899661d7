"""Pairs of hashes that differ in few bits, by comparing every one with every other."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tinyrefinery.data.examine import cores

_BLOCK = 1 << 19  # pairs at a time: they stay in the processor's cache
NONE = np.uint64(0)  # no bit turned over
_ALL_PAIRS = 16  # rows with one hash, up to which every two of them are compared


def close_pairs(hashes: np.ndarray, most: int, flip: np.uint64 = NONE) -> np.ndarray:
    """Pairs (P, 2) int64 of positions i < j with at most `most` different bits.

    With `flip`, the first of a pair is compared after turning those bits over, so that pairs of
    mirror images are found; an image is never paired with itself.

    Time grows with the square of the number of DIFFERENT hashes: 100,000 take about half a minute
    on one core. Of more than `_ALL_PAIRS` rows with one hash (blank frames of a camera) only each
    with the first and with its neighbor are paired, so that memory stays bounded; groups of them
    come out whole all the same.

    Args:
        hashes: (N,) uint64.
        most: different bits, 0 to 64.
        flip: bits to turn over.
    """
    order = np.argsort(hashes, kind="stable")
    unique, starts, counts = np.unique(hashes[order], return_index=True, return_counts=True)
    near = _unequal_pairs(unique, most, flip)
    found = [_across(order, starts, counts, near)]
    if int(np.bitwise_count(flip)) <= most:
        for place in np.flatnonzero(counts > 1):
            found.append(_within(order[starts[place] : starts[place] + counts[place]]))
    pairs = np.concatenate(found) if found else np.empty((0, 2), np.int64)
    return np.unique(np.sort(pairs, axis=1), axis=0)


def _unequal_pairs(unique: np.ndarray, most: int, flip: np.uint64) -> np.ndarray:
    """Pairs (P, 2) of places in `unique` that are near, the first below the second."""
    n = len(unique)
    step = max(1, _BLOCK // max(n, 1))

    def work(at: int) -> np.ndarray:
        """The near pairs whose first is one of `step` places."""
        rest = unique[at + 1 :]
        bits = np.bitwise_count((unique[at : at + step] ^ flip)[:, None] ^ rest[None, :])
        first, second = np.nonzero(bits <= most)
        keep = second >= first  # the block's own triangle once
        return np.stack([first[keep] + at, second[keep] + at + 1], 1)

    with ThreadPoolExecutor(cores()) as pool:
        parts = list(pool.map(work, range(0, max(n - 1, 0), step)))
    return np.concatenate([np.empty((0, 2), np.int64), *parts])


def _across(
    order: np.ndarray, starts: np.ndarray, counts: np.ndarray, near: np.ndarray
) -> np.ndarray:
    """Pairs of positions for pairs of different hashes: all with all where they are few."""
    few = counts[near].prod(1) <= _ALL_PAIRS**2
    heads = order[starts[near[~few]]]
    pairs = [heads]
    single = (counts[near] == 1).all(1)
    pairs.append(order[starts[near[single]]])
    for a, b in near[few & ~single]:
        ones = order[starts[a] : starts[a] + counts[a]]
        others = order[starts[b] : starts[b] + counts[b]]
        grid = np.stack(np.meshgrid(ones, others, indexing="ij"), 2)
        pairs.append(grid.reshape(-1, 2))
    return np.concatenate(pairs).reshape(-1, 2)


def _within(rows: np.ndarray) -> np.ndarray:
    """Pairs of rows that have one hash."""
    if len(rows) <= _ALL_PAIRS:
        first, second = np.triu_indices(len(rows), 1)
        return np.stack([rows[first], rows[second]], 1)
    to_first = np.stack([np.broadcast_to(rows[0], len(rows) - 1), rows[1:]], 1)
    return np.concatenate([to_first, np.stack([rows[:-1], rows[1:]], 1)])
