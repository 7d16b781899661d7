"""Copies as findings: leaks between splits and groups, conflicting labels, duplicates."""

from collections.abc import Iterator, Sequence

import numpy as np

from tinyrefinery.audit.finding import Finding, Strip
from tinyrefinery.data.copies.find_copies import KINDS, CopyGroup
from tinyrefinery.data.dataset import Dataset

_SHOWN = 12  # groups per finding
_NAMES = {
    "bytes": "same bytes",
    "pixels": "same pixels",
    "near": "near duplicate",
    "mirrored": "mirrored",
}


def copy_findings(
    dataset: Dataset, groups: Sequence[CopyGroup], column: str | None, remedy: str
) -> list[Finding]:
    """Report leaks between splits and groups, conflicting labels, and duplicates within a split.

    Args:
        dataset: the images.
        groups: their copies.
        column: manifest column whose values must not share images, or None.
        remedy: how to leave out the images of a list, with `{}` for its file.
    """
    labels, splits = dataset.manifest.labels, dataset.manifest.column("split")
    likely = [group for group in groups if not group.certain]
    groups = [group for group in groups if group.certain]
    across = [group for group in groups if len(set(splits[group.rows])) > 1]
    within = [group for group in groups if len(set(splits[group.rows])) == 1]
    conflicts = [group for group in groups if len(set(labels[group.rows])) > 1]
    findings = list(_leaks(dataset, across, remedy))
    if column:
        findings += _leaks_between_groups(dataset, groups, column)
    if conflicts:
        rows = [int(row) for group in conflicts for row in group.rows]
        findings.append(
            Finding(
                "conflict",
                "warning",
                f"{_count(conflicts, 'group')} of copies with different labels",
                _path(dataset, rows[0]),
                "at least one label per group is wrong, or the image shows several classes: "
                + remedy.format("conflicts.txt"),
                len(conflicts),
                strips=_strips(dataset, conflicts),
                listed=tuple(rows),
                list_file="conflicts.txt",
                facts=_facts(conflicts),
            )
        )
    if within:
        extra = [int(row) for group in within for row in group.rows[1:]]
        findings.append(
            Finding(
                "copies",
                "note",
                f"{len(extra)} duplicate image{'' if len(extra) == 1 else 's'} within a split "
                f"({_kind_counts(within)})",
                _path(dataset, extra[0]),
                remedy.format("copies.txt"),
                len(extra),
                "Training and every metric count these images several times.",
                _strips(dataset, within),
                tuple(extra),
                "copies.txt",
                _facts(within),
            )
        )
    return findings + list(_likely_copies(dataset, likely))


def _likely_copies(dataset: Dataset, groups: Sequence[CopyGroup]) -> Iterator[Finding]:
    """Report images that may be copies: a warning where they are in several splits, else a note."""
    if not groups:
        return
    splits = dataset.manifest.column("split")
    across = [group for group in groups if len(set(splits[group.rows])) > 1]
    groups = across + [group for group in groups if len(set(splits[group.rows])) == 1]
    rows = [int(row) for group in groups for row in group.rows]
    yield Finding(
        "likely_copies",
        "warning" if across else "note",
        f"{_count(groups, 'group')} of likely copies, {len(across)} of them in several splits",
        _path(dataset, rows[0]),
        "look at these images. likely_copies.txt lists them, one group after the other: delete the "
        "lines of images to keep, then leave out the rest with data.source.exclude",
        len(groups),
        "They share fine detail, but less than certain copies do. Nothing is left out and no split "
        "depends on them.",
        _strips(dataset, groups),
        tuple(rows),
        "likely_copies.txt",
        _facts(groups) | {"across_splits": len(across)},
    )


def _leaks(dataset: Dataset, across: Sequence[CopyGroup], remedy: str) -> Iterator[Finding]:
    """Report copies in several splits.

    The test split keeps its copies. Validation gives way to test, and training to both.
    """
    if not across:
        return
    rank = {"train": 0, "validation": 1, "test": 2}
    ranks = np.array([rank[split] for split in dataset.manifest.column("split")])
    left_out = [
        int(row)
        for group in across
        for row in group.rows[ranks[group.rows] < ranks[group.rows].max()]
    ]
    held_out = sum(int((ranks[group.rows] > 0).sum()) for group in across)
    leaked = "1 evaluation image has" if held_out == 1 else f"{held_out} evaluation images have"
    yield Finding(
        "leak",
        "error",
        f"{_count(across, 'image')} in several splits ({_kind_counts(across)}): {leaked} "
        "a copy in another split",
        _path(dataset, int(across[0].rows[0])),
        f"{remedy.format('leaks.txt')} or, where splits are drawn at random, keep copies together: "
        "data.source.group=COLUMN",
        len(across),
        "Models memorize such images, so accuracy on them is meaningless.",
        _strips(dataset, across),
        tuple(left_out),
        "leaks.txt",
        _facts(across) | {"held_out_images": held_out},
    )


def _leaks_between_groups(
    dataset: Dataset, groups: Sequence[CopyGroup], column: str
) -> Iterator[Finding]:
    """Report copies that have several values of a column."""
    values = dataset.manifest.column(column)
    missing = dataset.manifest.table.column(column).is_null().to_numpy()
    shared = [
        group
        for group in groups
        if len({str(value) for value in values[group.rows][~missing[group.rows]]}) > 1
    ]
    if not shared:
        return
    yield Finding(
        "leak",
        "error",
        f"{_count(shared, 'image')} in several groups of '{column}' ({_kind_counts(shared)}): "
        "splitting by this column does not keep copies together",
        column,
        f"give all copies of an image the same value of '{column}', then draw the splits again",
        len(shared),
        strips=_strips(dataset, shared),
        facts=_facts(shared),
    )


def _strips(dataset: Dataset, groups: Sequence[CopyGroup]) -> tuple[Strip, ...]:
    labels, splits = dataset.manifest.labels, dataset.manifest.column("split")
    return tuple(
        Strip(
            _NAMES[group.kind],
            tuple(int(row) for row in group.rows[:8]),
            tuple(f"{splits[row]}: {dataset.classes[labels[row]]}" for row in group.rows[:8]),
        )
        for group in groups[:_SHOWN]
    )


def _kind_counts(groups: Sequence[CopyGroup]) -> str:
    counts = {kind: count for kind, count in _facts(groups).items() if count}
    plurals = {kind: "s" if kind == "near" and count > 1 else "" for kind, count in counts.items()}
    return ", ".join(f"{count} {_NAMES[kind]}{plurals[kind]}" for kind, count in counts.items())


def _facts(groups: Sequence[CopyGroup]) -> dict[str, int]:
    return {kind: sum(group.kind == kind for group in groups) for kind in KINDS}


def _count(groups: Sequence[CopyGroup], noun: str) -> str:
    return f"{len(groups)} {noun}{'' if len(groups) == 1 else 's'}"


def _path(dataset: Dataset, row: int) -> str:
    return str(dataset.manifest.column("path")[row])
