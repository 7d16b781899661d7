"""Checks when a dataset is opened: find problems, and leave out rows that can't be used.

Kinds of problem: `broken_image`, `one_color`, `nearly_black`, `missing_label`,
`duplicate_across_splits`, `group_across_splits`, `conflicting_labels`, `empty_class`,
`empty_split`, `auto_labels_measure`, from splitting `near_copies`, and from the folder reader
`ignored_files`, `stray_image` and `unlisted_image`. Notes: `alike_classes`, `excluded`.
"""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from tinyrefinery.data.dataset import Problem
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.data.overlay.decisions import AUTO
from tinyrefinery.errors import DataError

_RANK = {"train": 0, "validation": 1, "test": 2}
_BLACK = 15  # the largest value of 12 bits in a file of 16, of which the high byte is kept
_LISTED = 10  # problems that a strict error lists


def broken_images(reasons: Sequence[str], paths: Sequence[str]) -> list[Problem]:
    """One problem per broken image; `reasons` are empty for the others."""
    return [
        Problem("broken_image", path, f"{reason}; left out")
        for path, reason in zip(paths, reasons, strict=True)
        if reason
    ]


def empty_images(
    one_color: np.ndarray, brightest: np.ndarray, paths: Sequence[str]
) -> list[Problem]:
    """One problem per image with little or no content. All are kept.

    Args:
        one_color: (N,) bool, all pixels are equal.
        brightest: (N,) uint8, the largest value in the image.
        paths: (N,) of the images.
    """
    what = "all pixels are equal; kept. 16-bit images keep the high byte, transparency is dropped"
    problems = [Problem("one_color", paths[int(row)], what) for row in np.flatnonzero(one_color)]
    for row in np.flatnonzero((brightest <= _BLACK) & ~one_color):
        what = (
            f"no value is above {brightest[row]} of 255; kept. 16-bit images keep the high byte, "
            "so those that use 12 bits or less are nearly black"
        )
        problems.append(Problem("nearly_black", paths[int(row)], what))
    return problems


def copies_across_splits(manifest: Manifest) -> tuple[np.ndarray, list[Problem]]:
    """Rows to keep so that no image is in two splits, (M,) int64, and one problem per other row.

    Copies are left out of training if validation or test has the image, and out of validation if
    test has it.
    """
    image = manifest.contents  # (N,)
    splits = manifest.column("split")
    rank = np.array([_RANK[split] for split in splits], np.int64)
    highest = np.zeros(len(image), np.int64)
    np.maximum.at(highest, image, rank)
    is_copy = rank < highest[image]
    if not is_copy.any():
        return np.arange(len(manifest)), []
    paths = manifest.column("path")
    is_highest = rank == highest[image]
    original = dict(zip(image[is_highest], np.flatnonzero(is_highest), strict=True))
    problems = []
    for row in np.flatnonzero(is_copy):
        other = original[image[row]]
        what = f"same bytes as {paths[other]} in {splits[other]}; left out of {splits[row]}"
        problems.append(Problem("duplicate_across_splits", str(paths[row]), what))
    return np.flatnonzero(~is_copy), problems


def groups_across_splits(manifest: Manifest, group: str) -> list[Problem]:
    """Groups with images in more than one split. All rows are kept."""
    columns = manifest.table.select([group, "split"]).drop_null()
    pairs = {(str(g), s) for g, s in zip(*(column.to_pylist() for column in columns), strict=True)}
    splits_of: dict[str, list[str]] = {}
    for name, split in sorted(pairs):
        splits_of.setdefault(name, []).append(split)
    return [
        Problem("group_across_splits", name, f"has images in {' and '.join(splits)}; kept")
        for name, splits in splits_of.items()
        if len(splits) > 1
    ]


def conflicting_labels(manifest: Manifest) -> list[Problem]:
    """Images that are in one split several times, with different labels. All rows are kept."""
    image = manifest.contents
    counts = np.bincount(image)
    rows_of: dict[int, list[int]] = {}
    for row in np.flatnonzero(counts[image] > 1):
        rows_of.setdefault(int(image[row]), []).append(int(row))
    problems = []
    for rows in rows_of.values():
        labels = sorted({int(manifest.labels[row]) for row in rows})
        if len(labels) > 1:
            where = " and ".join(str(path) for path in manifest.column("path")[rows])
            names = " and ".join(manifest.classes[label] for label in labels)
            problems.append(
                Problem("conflicting_labels", where, f"same bytes, labeled {names}; kept")
            )
    return problems


def empty_classes(manifest: Manifest) -> list[Problem]:
    """Classes without training images. They remain classes, so labels keep their numbers."""
    counts = np.bincount(manifest.labels[manifest.rows("train")], minlength=len(manifest.classes))
    return [
        Problem("empty_class", manifest.classes[label], "no training image; still a class")
        for label in np.flatnonzero(counts == 0)
    ]


def alike_classes(classes: Sequence[str]) -> list[Problem]:
    """Classes whose names differ only in case, spaces, `_` and `-`, or in how accents are coded.

    Single characters may be meant, as in datasets of letters. All are kept apart.
    """
    same: dict[str, list[str]] = {}
    for name in classes:
        key = re.sub(r"[\s_-]+", "", unicodedata.normalize("NFKC", name).casefold())
        same.setdefault(key, []).append(name)
    return [
        Problem("alike_classes", " and ".join(map(repr, names)), "separate classes; kept apart")
        for key, names in same.items()
        if len(names) > 1 and len(key) > 1
    ]


def labels_from_networks(manifest: Manifest) -> np.ndarray:
    """Whether a network gave the label, by the column `label_source`, (N,) bool."""
    if "label_source" not in manifest.table.column_names:
        return np.zeros(len(manifest), bool)
    sources = manifest.column("label_source")
    return np.fromiter((str(source).startswith(AUTO) for source in sources), bool, len(manifest))


def held_out_labels_from_networks(manifest: Manifest) -> list[Problem]:
    """Validation and test splits with labels from a network: the source has put them there."""
    splits, auto = manifest.column("split"), labels_from_networks(manifest)
    counts = {split: int((auto & (splits == split)).sum()) for split in ("validation", "test")}
    what = "labels are from a network, without review; kept: review them, or use them for training"
    return [
        Problem("auto_labels_measure", split, f"{count} {what}")
        for split, count in counts.items()
        if count
    ]


def raise_problems(name: str, problems: Sequence[Problem]) -> None:
    """Raise an error if there are problems, for strict opening.

    Raises:
        DataError: with the number of problems and the first ten of them.
    """
    if not problems:
        return
    lines = [f"  {p.kind}: {p.where}: {p.what}" for p in problems[:_LISTED]]
    if len(problems) > _LISTED:
        lines.append(f"  and {len(problems) - _LISTED} more")
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise DataError(
        "\n".join([f"{name}: {count} in the data. Fix them, or set strict: false.", *lines])
    )
