"""Finding copies of images: same bytes, same pixels, near duplicates, mirrored."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tinyrefinery.audit.fingerprints import MIRROR, Fingerprints, likeness
from tinyrefinery.audit.hash_pairs import NONE, close_pairs
from tinyrefinery.audit.neighbors import unrelated_distances
from tinyrefinery.data.dataset import Dataset

# Our choice. benchmarks/copies.py measures the copies found and the false matches.
BITS = 8  # largest number of different hash bits
LIKE = 0.95  # smallest correlation of the thumbnails
SURE = 0.995  # a correlation that no two unrelated images of the measured sets reach
NEARER = 0.25  # largest distance as a share of `unrelated_distances`
KINDS = ("bytes", "pixels", "near", "mirrored")
_CHUNK = 1 << 14  # pairs of thumbnails compared at a time: bounds memory


@dataclass(frozen=True)
class CopyGroup:
    """Images that are copies of one another, directly or through copies in between."""

    rows: np.ndarray
    """Manifest rows, ascending, two or more."""
    kind: str
    """The loosest link in the group, one of `KINDS`."""


def find_copies(dataset: Dataset, prints: Fingerprints) -> list[CopyGroup]:
    """Find all groups of copies in a dataset, the largest first.

    Args:
        dataset: N images.
        prints: the fingerprints of these images.
    """
    pairs, kinds = _links(dataset, prints)
    if not len(pairs):
        return []
    n = len(prints.hashes)
    ones = np.ones(len(pairs), np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    component = connected_components(graph, directed=False)[1]
    loosest = np.zeros(n, np.int64)
    np.maximum.at(loosest, component[pairs[:, 0]], kinds)
    order = np.argsort(component, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(component[order]) > 0])
    groups = [rows for rows in np.split(order, starts[1:]) if len(rows) > 1]
    groups.sort(key=lambda rows: (-len(rows), int(rows[0])))
    return [CopyGroup(np.sort(rows), KINDS[loosest[component[rows[0]]]]) for rows in groups]


def _links(dataset: Dataset, prints: Fingerprints) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows (P, 2) and the index in `KINDS` of each pair (P,)."""
    ids = dataset.manifest.column("id").astype(str)
    _, first, content = np.unique(ids, return_index=True, return_inverse=True)
    repeats = np.flatnonzero(first[content] != np.arange(len(ids)))
    same_bytes = np.stack([first[content[repeats]], repeats], 1)
    links, kinds = [same_bytes], [np.zeros(len(same_bytes), np.int64)]
    # One image per content, and no nearly uniform image: its hash would be noise.
    rows = np.sort(first)
    rows = rows[~prints.flat[rows]]
    for kind, flip in ((2, NONE), (3, MIRROR)):
        pairs = rows[close_pairs(prints.hashes[rows], BITS, flip)]
        pairs = _confirm(prints.thumbs, pairs, rows, mirrored=kind == 3)
        links.append(pairs)
        kinds.append(np.full(len(pairs), kind))
        if kind == 2:
            kinds[-1] -= _same_pixels(dataset, prints, pairs)
    return np.concatenate(links), np.concatenate(kinds)


def _confirm(
    thumbs: np.ndarray, pairs: np.ndarray, rows: np.ndarray, *, mirrored: bool
) -> np.ndarray:
    """Keep the pairs (P, 2) whose thumbnails match as well as their hashes.

    A match correlates by `LIKE`. It also correlates by `SURE`, or is much nearer than unrelated
    images in `rows` (one per content) are.
    """
    flipped = thumbs[:, :, ::-1] if mirrored else thumbs
    correlations = [np.empty(0, np.float32)]
    for at in range(0, len(pairs), _CHUNK):
        first, second = pairs[at : at + _CHUNK].T
        correlations.append(likeness(thumbs[first], flipped[second]))
    like = np.concatenate(correlations)
    kept = like >= SURE
    doubtful = np.flatnonzero((like >= LIKE) & ~kept)
    limits = np.full(len(doubtful), np.inf)
    for side, pictures in ((0, thumbs), (1, flipped)):
        images, place = np.unique(pairs[doubtful, side], return_inverse=True)
        limits = np.minimum(limits, unrelated_distances(thumbs[rows], pictures[images])[place])
    kept[doubtful] = 1 - like[doubtful] <= NEARER * limits
    return pairs[kept]


def _same_pixels(dataset: Dataset, prints: Fingerprints, pairs: np.ndarray) -> np.ndarray:
    """1 for near pairs with identical pixels in different files, else 0: (P,) int64."""
    a, b = pairs.T
    sizes = dataset.images.sizes
    likely = (prints.hashes[a] == prints.hashes[b]) & (sizes[a] == sizes[b]).all(1)
    likely &= (prints.thumbs[a] == prints.thumbs[b]).all((1, 2, 3))
    same = np.zeros(len(pairs), np.int64)
    for place in np.flatnonzero(likely):
        first, second = (dataset.images.pixels(int(row)) for row in pairs[place])
        same[place] = np.array_equal(first, second)
    return same
