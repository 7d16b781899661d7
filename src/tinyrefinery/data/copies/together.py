"""Groups of images that a split must not divide, because they are near copies of one another."""

from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tinyrefinery.data.copies.find_copies import components, same_contents
from tinyrefinery.data.copies.fingerprints import Fingerprints, fingerprint
from tinyrefinery.data.copies.near_pairs import near_pairs
from tinyrefinery.data.dataset import Dataset, Problem
from tinyrefinery.data.properties.small_images import map_chunks
from tinyrefinery.errors import StorageError
from tinyrefinery.files import atomic_file, cache_folder

MOST = 200_000
"""Our choice: images up to which near copies are looked for. Time grows with their square.
`benchmarks/copies.py` times 60,000 images."""
_VERSION = 1  # raise it when other pairs are certain


def keep_together(groups: np.ndarray, dataset: Dataset) -> tuple[np.ndarray, list[Problem]]:
    """Join groups of images with near copies, if there are not too many images to look for them.

    Args:
        groups: (N,) text, the group of each image.
        dataset: these images.

    Returns:
        The groups, (N,) text, and a note on the near copies, if there are any.

    Raises:
        ChangedImageError: if an image is no longer readable.
    """
    n = len(groups)
    if n > MOST:
        what = f"not looked for: {n:,} images are more than {MOST:,}, so splits may divide them"
        return groups, [Problem("near_copies", dataset.name, what)]
    groups, count = with_copies_joined(groups, dataset)
    what = f"{count} images are near copies of others: each group of copies is kept in one split"
    return groups, [Problem("near_copies", dataset.name, what)] if count else []


def with_copies_joined(groups: np.ndarray, dataset: Dataset) -> tuple[np.ndarray, int]:
    """Join the groups of images that are certain near copies.

    The joined group has the first of their names, in alphabetical order. So images without copies
    keep their groups, and with them their place in a split.

    Args:
        groups: (N,) text, the group of each image.
        dataset: these images, at most `MOST`.

    Returns:
        The groups, (N,) text, and how many images have a near copy.

    Raises:
        ChangedImageError: if an image is no longer readable.
    """
    pairs = _certain_pairs(dataset)
    if not len(pairs):
        return groups, 0
    names, group = np.unique(groups, return_inverse=True)
    joined = components(group[pairs], len(names))
    first = np.full(joined.max() + 1, len(names))
    np.minimum.at(first, joined, np.arange(len(names)))  # names are sorted
    return names[first[joined[group]]], len(np.unique(pairs))


def _certain_pairs(dataset: Dataset) -> np.ndarray:
    """Pairs of rows, (P, 2), from the cache if it has these images."""
    ids = dataset.manifest.column("id")
    _, rows = same_contents(ids)
    key = sha256(f"{_VERSION}\x1f{dataset.images.channels}".encode())
    key.update("".join(ids[rows]).encode())
    file = cache_folder() / "copies" / f"{key.hexdigest()[:24]}.parquet"
    try:
        table = pq.read_table(file)
        places = np.stack([table.column(name).to_numpy() for name in ("first", "second")], 1)
        return rows[places]
    except (OSError, KeyError, IndexError, pa.ArrowException):
        pass  # not in the cache, or unreadable
    prints = Fingerprints.concatenate(map_chunks(dataset, rows, fingerprint), len(rows))
    found = near_pairs(prints, np.arange(len(rows)))
    places = found.pairs[found.certain]
    try:
        with atomic_file(file) as temporary:
            pq.write_table(pa.table({"first": places[:, 0], "second": places[:, 1]}), temporary)
    except (StorageError, OSError):
        pass  # opening a dataset works without a cache
    return rows[places]
