"""Pairs of images that are near copies: certain ones, and likely ones for a person to look at."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from threadpoolctl import threadpool_limits

from tinyrefinery.data.copies.alignment import shared_detail
from tinyrefinery.data.copies.candidates import find_candidates
from tinyrefinery.data.copies.fingerprints import Fingerprints
from tinyrefinery.data.copies.strangers import outside_crowds, unrelated_detail

# Our choice. benchmarks/copies.py measures the copies found and the false matches.
CERTAIN, LIKELY = 0.85, 0.75  # smallest shared detail
NEARER, NEAR = 0.25, 0.4  # largest distance as a share of the distance to unrelated images


@dataclass(frozen=True)
class NearPairs:
    """P pairs of rows, the first below the second, without those that follow from same bytes."""

    pairs: np.ndarray
    """(P, 2) int64."""
    mirrored: np.ndarray
    """(P,) bool."""
    certain: np.ndarray
    """(P,) bool; the others are likely."""


def near_pairs(prints: Fingerprints, rows: np.ndarray) -> NearPairs:
    """Find near copies among some images.

    A pair is a near copy if the fine detail of both correlates, and if both are much nearer to each
    other than to unrelated images. Nearly uniform images are left out: they have no detail. Time
    grows with the square of the number of images, see `find_candidates`.

    Args:
        prints: fingerprints of all images.
        rows: the images to compare, ascending, with different bytes.
    """
    # The work is in many small products, in threads of its own: BLAS threads would get in the way.
    with threadpool_limits(1, user_api="blas"):
        return _near_pairs(prints, rows[~prints.flat[rows]])


def _near_pairs(prints: Fingerprints, rows: np.ndarray) -> NearPairs:
    first, repeats = _same_thumbnails(prints.thumbs, rows)
    none = np.zeros(len(repeats), bool)
    same = NearPairs(np.stack([first, repeats], 1), none, ~none)
    rows = np.setdiff1d(rows, repeats, assume_unique=True)
    found = outside_crowds(find_candidates(prints.thumbs, rows=rows), len(prints.thumbs))
    detail = shared_detail(prints, found.pairs, found.mirrored)
    found, detail = found.select(detail >= LIKELY), detail[detail >= LIKELY]
    images, place = np.unique(found.pairs, return_inverse=True)
    unrelated = unrelated_detail(prints, rows, images)[place.reshape(-1, 2)].max(1, initial=-np.inf)
    with np.errstate(invalid="ignore"):  # 0 / 0: equal to unrelated images too
        share = (1 - detail) / (1 - unrelated)
    near = np.flatnonzero(share <= NEAR)
    near = near[_better_way(found.pairs[near], detail[near])]
    certain = (detail[near] >= CERTAIN) & (share[near] <= NEARER)
    return NearPairs(
        np.concatenate([same.pairs, found.pairs[near]]),
        np.concatenate([same.mirrored, found.mirrored[near]]),
        np.concatenate([same.certain, certain]),
    )


def _same_thumbnails(thumbs: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose thumbnail an earlier row has, as (those earlier rows, these rows)."""
    digests = (blake2b(thumbs[row].tobytes(), digest_size=16).digest() for row in rows)
    earliest = first_places(digests)
    repeats = np.flatnonzero(earliest != np.arange(len(rows)))
    return rows[earliest[repeats]], rows[repeats]


def first_places(keys: Iterable[Hashable]) -> np.ndarray:
    """The first place of each key, (n,) int64: its own place unless an earlier key is equal."""
    first: dict[Hashable, int] = {}
    places = (first.setdefault(key, place) for place, key in enumerate(keys))
    return np.fromiter(places, np.int64)


def _better_way(pairs: np.ndarray, detail: np.ndarray) -> np.ndarray:
    """Places of the pairs, each once: directly or mirrored, whichever shares more detail."""
    order = np.lexsort((-detail, pairs[:, 1], pairs[:, 0]))
    ordered = pairs[order]
    fresh = np.ones(len(pairs), bool)
    fresh[1:] = (ordered[1:] != ordered[:-1]).any(1)
    return order[fresh]
