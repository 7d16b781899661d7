"""Groups of copies in a dataset: same bytes, same pixels, near duplicates, mirrored."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tinyrefinery.data.copies.fingerprints import Fingerprints
from tinyrefinery.data.copies.near_pairs import NearPairs, first_places, near_pairs
from tinyrefinery.data.dataset import Dataset

KINDS = ("bytes", "pixels", "near", "mirrored")


@dataclass(frozen=True)
class CopyGroup:
    """Images that are copies of one another, directly or through copies in between."""

    rows: np.ndarray
    """Manifest rows, ascending, two or more."""
    kind: str
    """The loosest link in the group, one of `KINDS`."""
    certain: bool = True
    """Otherwise the images are likely copies, for a person to look at."""


def find_copies(dataset: Dataset, prints: Fingerprints) -> list[CopyGroup]:
    """Find all groups of copies in a dataset.

    Args:
        dataset: N images.
        prints: the fingerprints of these images.

    Returns:
        Certain copies, the largest group first, then likely ones. An image can be in both: a likely
        group links images that no certain group has together.
    """
    ids = dataset.manifest.column("id")
    same_bytes, rows = same_contents(ids)
    near = near_pairs(prints, rows)
    kinds = np.where(near.mirrored, 3, 2)
    kinds[near.certain] -= _same_pixels(dataset, prints, near)[near.certain]
    pairs = np.concatenate([same_bytes, near.pairs[near.certain]])
    loosest = np.concatenate([np.zeros(len(same_bytes), np.int64), kinds[near.certain]])
    group = components(pairs, len(ids))
    likely, likely_kinds = near.pairs[~near.certain], kinds[~near.certain]
    apart = group[likely[:, 0]] != group[likely[:, 1]]
    likely, likely_kinds = likely[apart], likely_kinds[apart]
    wider = components(group[likely], len(ids))[group]
    return [
        *_groups(pairs, loosest, group, certain=True),
        *_groups(likely, likely_kinds, wider, certain=False),
    ]


def same_contents(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows with the same id, (P, 2), and the first row of each id, ascending."""
    first = first_places(ids.tolist())
    is_first = first == np.arange(len(ids))
    repeats = np.flatnonzero(~is_first)
    return np.stack([first[repeats], repeats], 1), np.flatnonzero(is_first)


def components(pairs: np.ndarray, n: int) -> np.ndarray:
    """The connected component of each of `n` rows, (n,) int64."""
    graph = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _groups(
    pairs: np.ndarray, kinds: np.ndarray, component: np.ndarray, *, certain: bool
) -> list[CopyGroup]:
    """One group per component that has a pair, of the rows in these pairs, the largest first."""
    loosest = np.zeros(len(component), np.int64)
    np.maximum.at(loosest, component[pairs[:, 0]], kinds)
    rows = np.unique(pairs)
    order = rows[np.argsort(component[rows], kind="stable")]
    starts = np.flatnonzero(np.diff(component[order]) > 0) + 1
    groups = [np.sort(group) for group in np.split(order, starts)] if len(order) else []
    groups.sort(key=lambda group: (-len(group), int(group[0])))
    return [CopyGroup(group, KINDS[loosest[component[group[0]]]], certain) for group in groups]


def _same_pixels(dataset: Dataset, prints: Fingerprints, near: NearPairs) -> np.ndarray:
    """1 for pairs with identical pixels in different files, else 0: (P,) int64."""
    a, b = near.pairs.T
    sizes = dataset.images.sizes
    likely = ~near.mirrored & (sizes[a] == sizes[b]).all(1)
    likely &= (prints.thumbs[a] == prints.thumbs[b]).all((1, 2))
    same = np.zeros(len(a), np.int64)
    for place in np.flatnonzero(likely):
        first, second = (dataset.images.pixels(int(row)) for row in near.pairs[place])
        same[place] = np.array_equal(first, second)
    return same
