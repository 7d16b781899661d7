"""Which images train, which validate, which test: by identity, never by position.

Every group of images has a place between 0 and 1 that depends on its name and the seed only. Images
that are added later get places of their own and leave the others' alone, so that a split changes by
the images at its edge and no more.
"""

import numpy as np

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.manifest import SPLITS
from tinyrefinery.errors import DataError
from tinyrefinery.names import nearest
from tinyrefinery.random import integer

SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""What people call a split, and what it is called here."""


def split_named(word: str, where: str = "") -> str:
    """The split that a word such as "val" means.

    Args:
        word: in any case.
        where: the file it stands in, for the message.

    Raises:
        DataError: when it means none.
    """
    try:
        return SPLIT_WORDS[word.lower()]
    except KeyError:
        place = f"{where}: " if where else ""
        raise DataError(
            f"{place}unknown split '{word}'; the splits are {', '.join(SPLITS)}."
            f"{nearest(word, SPLIT_WORDS)}"
        ) from None


def carve(
    groups: np.ndarray, labels: np.ndarray, share: float, *, seed: int, name: str
) -> np.ndarray:
    """Choose a share of the images, whole groups together and each class in proportion.

    A class gives up the groups with the lowest places until another would take it further past the
    share; at least one group if it has two or more (and that one holds at most half its images).
    A group of several classes counts as its most frequent one.

    Args:
        groups: (N,) text; images of one text stay together. The images' ids where nothing else is
            known, so that exact copies stay together.
        labels: (N,) int64.
        share: of the images, 0 to below 1.
        seed: another seed, another choice.
        name: what the choice is for; each name has its own places.

    Returns:
        (N,) bool, True for the chosen.
    """
    names, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    sizes = np.bincount(member, minlength=len(names))
    kind = _majority(member, labels, len(names))
    place = np.array([integer(seed, name, group) for group in names], np.int64)
    chosen = np.zeros(len(names), bool)
    for label in np.unique(labels):
        mine = np.flatnonzero(kind == label)
        mine = mine[np.argsort(place[mine], kind="stable")]
        chosen[mine[: _how_many(sizes[mine], share)]] = True
    return chosen[member]


def _how_many(sizes: np.ndarray, share: float) -> int:
    """How many groups of these sizes, from the first, come nearest to a share of their sum."""
    total = sizes.sum()
    fits = np.cumsum(sizes) - sizes / 2 <= share * total
    count = int(np.argmin(fits)) if not fits.all() else len(fits)
    if count == 0 and share > 0 and len(sizes) > 1 and sizes[0] * 2 <= total:
        return 1
    return count


def _majority(member: np.ndarray, labels: np.ndarray, n: int) -> np.ndarray:
    """The most frequent label of each group; the lowest one on ties."""
    pairs, counts = np.unique(np.stack([member, labels], 1), axis=0, return_counts=True)
    order = np.lexsort((-pairs[:, 1], counts))  # the last to be written wins
    out = np.zeros(n, np.int64)
    for group, label in pairs[order]:
        out[group] = label
    return out


def subset(dataset: Dataset, split: str, n: int, seed: int = 0) -> Dataset:
    """Keep `n` images of one split, each class in proportion, and all of the other splits.

    The choice goes by identity and seed, and grows with `n`: what is in a small subset is, but for
    rounding between the classes, in every larger one.

    Raises:
        DataError: when the split is unknown or `n` is not positive.
    """
    split = split_named(split)
    if n < 1:
        raise DataError(f"{dataset.name}: a subset of {n} images of '{split}' is empty")
    manifest = dataset.manifest
    rows = manifest.rows(split)
    if n >= len(rows):
        return dataset
    labels, ids = manifest.labels[rows], manifest.column("id")[rows]
    place = np.array([integer(seed, "subset", str(identity)) for identity in ids], np.int64)
    keep = np.ones(len(manifest), bool)
    keep[rows] = False
    for label, count in zip(*_proportion(labels, n), strict=True):
        mine = np.flatnonzero(labels == label)
        keep[rows[mine[np.argsort(place[mine], kind="stable")[:count]]]] = True
    return dataset.select(np.flatnonzero(keep))


def _proportion(labels: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes and how many of each make up `n`, by the method of largest remainders."""
    classes, counts = np.unique(labels, return_counts=True)
    exact = counts * n / counts.sum()
    whole = np.floor(exact).astype(np.int64)
    left = n - int(whole.sum())
    whole[np.argsort(whole - exact, kind="stable")[:left]] += 1
    return classes, whole
