"""The opening check: what is wrong with a data set, and which rows are left out for it.

Kinds of problem: `broken_image`, `missing_label`, `duplicate_across_splits`, `group_across_splits`,
`conflicting_labels`, `empty_class`, `empty_split`, `auto_labels_measure`, and from the folder
reader `ignored_files` and `unlisted_image`.
"""

from collections.abc import Sequence

import numpy as np

from tinyrefinery.data.dataset import Problem
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.data.overlay.decisions import AUTO
from tinyrefinery.errors import DataError

_RANK = {"train": 0, "validation": 1, "test": 2}
_LISTED = 10  # problems that a strict error spells out


def broken_images(reasons: Sequence[str], paths: Sequence[str]) -> list[Problem]:
    """One problem an image that has a reason to be called broken; those rows are left out."""
    return [
        Problem("broken_image", path, f"{reason}; left out")
        for path, reason in zip(paths, reasons, strict=True)
        if reason
    ]


def copies_across_splits(manifest: Manifest) -> tuple[np.ndarray, list[Problem]]:
    """Rows to keep so that no image is in two splits, (M,) int64, and what was left out.

    The test split stays whole; validation gives way to it, and training to both.
    """
    _, member = np.unique(manifest.column("id").astype(str), return_inverse=True)
    splits = manifest.column("split")
    rank = np.array([_RANK[split] for split in splits], np.int64)
    highest = np.zeros(len(member), np.int64)
    np.maximum.at(highest, member, rank)
    copy = rank < highest[member]
    if not copy.any():
        return np.arange(len(manifest)), []
    paths = manifest.column("path")
    held = rank == highest[member]
    original = dict(zip(member[held], np.flatnonzero(held), strict=True))
    problems = []
    for row in np.flatnonzero(copy):
        other = original[member[row]]
        what = f"same bytes as {paths[other]} of {splits[other]}; left out of {splits[row]}"
        problems.append(Problem("duplicate_across_splits", str(paths[row]), what))
    return np.flatnonzero(~copy), problems


def groups_across_splits(manifest: Manifest, group: str) -> list[Problem]:
    """Groups with images in more than one split; nothing is left out for them."""
    known = manifest.table.select([group, "split"]).drop_null()
    pairs = {(str(g), s) for g, s in zip(*(column.to_pylist() for column in known), strict=True)}
    where: dict[str, list[str]] = {}
    for name, split in sorted(pairs):
        where.setdefault(name, []).append(split)
    return [
        Problem("group_across_splits", name, f"has images in {' and '.join(splits)}; kept")
        for name, splits in where.items()
        if len(splits) > 1
    ]


def conflicting_labels(manifest: Manifest) -> list[Problem]:
    """Images that stand in one split twice, with different labels; they are kept."""
    ids = manifest.column("id").astype(str)
    _, member, counts = np.unique(ids, return_inverse=True, return_counts=True)
    rows: dict[int, list[int]] = {}
    for row in np.flatnonzero(counts[member] > 1):
        rows.setdefault(int(member[row]), []).append(int(row))
    problems = []
    for same in rows.values():
        labels = sorted({int(manifest.labels[row]) for row in same})
        if len(labels) > 1:
            where = " and ".join(str(path) for path in manifest.column("path")[same])
            names = " and ".join(manifest.classes[label] for label in labels)
            problems.append(
                Problem("conflicting_labels", where, f"same bytes, labelled {names}; kept")
            )
    return problems


def empty_classes(manifest: Manifest) -> list[Problem]:
    """Classes without a training image; they stay classes, so that labels keep their numbers."""
    counts = np.bincount(manifest.labels[manifest.rows("train")], minlength=len(manifest.classes))
    return [
        Problem("empty_class", manifest.classes[label], "no training image; still a class")
        for label in np.flatnonzero(counts == 0)
    ]


def given_by_networks(manifest: Manifest) -> np.ndarray:
    """Which labels a network gave, by the column `label_source`, (N,) bool."""
    if "label_source" not in manifest.table.column_names:
        return np.zeros(len(manifest), bool)
    sources = manifest.column("label_source")
    return np.fromiter((str(each).startswith(AUTO) for each in sources), bool, len(manifest))


def measured_by_networks(manifest: Manifest) -> list[Problem]:
    """Splits that measure, with labels that a network gave; the source itself put them there."""
    splits, auto = manifest.column("split"), given_by_networks(manifest)
    counts = {split: int((auto & (splits == split)).sum()) for split in ("validation", "test")}
    what = "labels were given by a network and seen by nobody; kept: review them, or train on them"
    return [
        Problem("auto_labels_measure", split, f"{count} {what}")
        for split, count in counts.items()
        if count
    ]


def refuse(name: str, problems: Sequence[Problem]) -> None:
    """What `strict` does.

    Raises:
        DataError: when there is any problem; it lists the first ten and the count.
    """
    if not problems:
        return
    lines = [f"  {p.kind}: {p.where}: {p.what}" for p in problems[:_LISTED]]
    if len(problems) > _LISTED:
        lines.append(f"  and {len(problems) - _LISTED} more")
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise DataError(
        "\n".join([f"{name}: {count} in the data, and strict opening was asked for:", *lines])
    )
