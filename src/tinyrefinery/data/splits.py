"""Choose validation and test images, and subsets, by identity and not by position.

The choice orders groups of images by a random number that depends on the group's name and the seed
only. Images that are added later don't change the others' numbers. So a split changes at its
boundary only.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.manifest import SPLITS
from tinyrefinery.errors import DataError, did_you_mean
from tinyrefinery.random import integers

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
"""Common names of splits -> our names."""


def split_named(word: str, where: str = "") -> str:
    """Our name of a split, for a common name such as "val".

    Args:
        word: in any case.
        where: the file it comes from, for the message.

    Raises:
        DataError: if the name is unknown.
    """
    try:
        return SPLIT_WORDS[word.lower()]
    except KeyError:
        prefix = f"{where}: " if where else ""
        raise DataError(
            f"{prefix}unknown split '{word}'. Known: {', '.join(SPLITS)}."
            f"{did_you_mean(word, SPLIT_WORDS)}"
        ) from None


def splits_of_files(files: Sequence[str | Path], where: str) -> list[str]:
    """The split of each file, by the first word of its name, e.g. `test-00000-of-00002.parquet`.

    Files of one split only are all for training: anyone who names them means them.

    Args:
        files: the files that a folder or a pattern stands for.
        where: the folder or pattern, for the message.

    Raises:
        DataError: if some are named after several splits, and others after none.
    """
    words = [re.split(r"[-_.]", Path(file).name)[0].lower() for file in files]
    splits = [SPLIT_WORDS.get(word) for word in words]
    named = [split for split in splits if split is not None]
    if len(set(named)) < 2:
        return ["train"] * len(files)
    if len(named) < len(files):
        raise DataError(
            f"{where}: has files of the splits {', '.join(sorted(set(named)))}, and others, such "
            f"as {Path(files[splits.index(None)]).name}. Name the files of each split, e.g. "
            "path={train: ..., test: ...}"
        )
    return named


def holds_splits(values: Iterable[object]) -> bool:
    """Whether a column named `split` has a word for validation or test."""
    words = {SPLIT_WORDS.get(value.lower()) for value in values if isinstance(value, str)}
    return bool(words - {None, "train"})


def choose_stratified(
    groups: np.ndarray, labels: np.ndarray, share: float, *, seed: int, name: str
) -> np.ndarray:
    """Choose a share of the images, stratified by class, without dividing groups.

    From each class it takes the groups with the lowest random numbers, up to the count that comes
    closest to the share. It takes at least one group from a class with two or more, if that group
    has at most half of the images. A group with several classes counts as its most frequent one.

    Args:
        groups: (N,) text; images with the same text stay together. Use the images' ids if there are
            no groups, so that exact copies stay together.
        labels: (N,) int64.
        share: of the images, 0 to below 1.
        seed: of the choice.
        name: purpose of the choice; each has its own random numbers.

    Returns:
        (N,) bool, True for the chosen images.
    """
    names, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)  # (G,), (N,)
    sizes = np.bincount(group, minlength=len(names))
    group_labels = _majority(group, labels, len(names))
    random = integers(seed, name, names.tolist())
    chosen = np.zeros(len(names), bool)
    for label in np.unique(labels):
        candidates = np.flatnonzero(group_labels == label)
        candidates = candidates[np.argsort(random[candidates], kind="stable")]
        chosen[candidates[: _closest_count(sizes[candidates], share)]] = True
    return chosen[group]  # (G,) -> (N,)


def _closest_count(sizes: np.ndarray, share: float) -> int:
    """How many groups of these sizes, from the first, come closest to a share of their sum."""
    total = sizes.sum()
    fits = np.cumsum(sizes) - sizes / 2 <= share * total
    count = int(np.argmin(fits)) if not fits.all() else len(fits)
    if count == 0 and share > 0 and len(sizes) > 1 and sizes[0] * 2 <= total:
        return 1
    return count


def _majority(group: np.ndarray, labels: np.ndarray, n: int) -> np.ndarray:
    """The most frequent label of each of `n` groups, (n,); the lowest one on ties."""
    pairs, counts = np.unique(np.stack([group, labels], 1), axis=0, return_counts=True)
    order = np.lexsort((-pairs[:, 1], counts))  # the last assignment wins
    majority = np.zeros(n, np.int64)
    for number, label in pairs[order]:
        majority[number] = label
    return majority


def subset(dataset: Dataset, split: str, n: int, seed: int = 0) -> Dataset:
    """Keep `n` images of one split, stratified by class, and all images of the other splits.

    The choice depends on identity and seed. Larger subsets contain the smaller ones, except for
    rounding between classes.

    Raises:
        DataError: if the split is unknown or `n` is not positive.
    """
    split = split_named(split)
    if n < 1:
        raise DataError(f"{dataset.name}: a limit of {n} leaves '{split}' empty: set at least 1")
    manifest = dataset.manifest
    rows = manifest.rows(split)
    if n >= len(rows):
        return dataset
    labels, ids = manifest.labels[rows], manifest.column("id")[rows]
    random = integers(seed, "subset", map(str, ids))
    keep = np.ones(len(manifest), bool)
    keep[rows] = False
    for label, count in zip(*_proportion(labels, n), strict=True):
        candidates = np.flatnonzero(labels == label)
        order = np.argsort(random[candidates], kind="stable")
        keep[rows[candidates[order[:count]]]] = True
    return dataset.select(np.flatnonzero(keep))


def _proportion(labels: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes, and images per class that add up to `n`, by the method of largest remainders."""
    classes, counts = np.unique(labels, return_counts=True)
    exact = counts * n / counts.sum()
    rounded = np.floor(exact).astype(np.int64)
    remainder = n - int(rounded.sum())
    rounded[np.argsort(rounded - exact, kind="stable")[:remainder]] += 1
    return classes, rounded
