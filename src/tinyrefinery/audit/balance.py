"""Balance: classes with too few images, and classes that are missing under some condition."""

from collections.abc import Sequence

import numpy as np

from tinyrefinery.audit.association import Column
from tinyrefinery.audit.finding import Finding
from tinyrefinery.data.dataset import Dataset

SMALL = 0.2  # our choice: of the median class, below which a class hardly counts in training
FEW = 10  # our choice: training images that show no variety
# With fewer images, not even a faultless result proves an accuracy of .9: Wilson's 95 % interval
# of 34 right of 34 begins at .898.
PROVABLE = 35
EXPECTED = 10.0  # our choice: images that a cell should have before its lack means anything
_CELLS = 20  # told of each column


def class_findings(dataset: Dataset) -> list[Finding]:
    """Classes that are too small to be learned, or to be measured."""
    found = []
    for split in ("train", "validation", "test"):
        rows = dataset.manifest.rows(split)
        counts = np.bincount(dataset.manifest.labels[rows], minlength=len(dataset.classes))
        if len(rows):
            found += _small(dataset, split, counts)
    return found


def _small(dataset: Dataset, split: str, counts: np.ndarray) -> list[Finding]:
    median = float(np.median(counts[counts > 0]))
    least = max(FEW, SMALL * median) if split == "train" else PROVABLE
    few = [int(label) for label in np.argsort(counts, kind="stable") if counts[label] < least]
    if not few:
        return []
    told = ", ".join(f"'{dataset.classes[label]}' with {counts[label]}" for label in few[:8])
    told += ", …" if len(few) > 8 else ""
    train = split == "train"
    title = (
        f"{_many(len(few))} too small to learn from: {told} (median {median:.0f})"
        if train
        else f"{_many(len(few))} too small to be measured in {split}: {told}"
    )
    return [
        Finding(
            "small_class",
            "warning" if train else "note",
            title,
            dataset.classes[few[0]],
            "collect more images of it, merge it with another class, or leave it out",
            len(few),
            f"A class counts as small below a fifth of the median class, and below {FEW}."
            if train
            else f"With fewer than {PROVABLE} images even a faultless network does not prove .90.",
            facts={"split": split, "counts": {dataset.classes[k]: int(counts[k]) for k in few}},
        )
    ]


def cell_findings(
    columns: Sequence[Column], labels: np.ndarray, classes: Sequence[str]
) -> list[Finding]:
    """Cells of class x value with less than a fifth of what independence would give them.

    Args:
        columns: words of N training images; columns of numbers are passed over.
        labels: (N,).
        classes: names.
    """
    found = []
    for column in columns:
        if column.is_number:
            continue
        values, member = np.unique(column.values, return_inverse=True)
        table = np.bincount(member * len(classes) + labels, minlength=len(values) * len(classes))
        table = table.reshape(len(values), len(classes))
        expected = table.sum(1, keepdims=True) * table.sum(0) / max(1, table.sum())
        lacking = np.argwhere((expected >= EXPECTED) & (table < SMALL * expected))
        if not len(lacking):
            continue
        lacking = sorted(lacking.tolist(), key=lambda at: -expected[at[0], at[1]])[:_CELLS]
        cells = [
            {
                "value": str(values[v]) or "unknown",
                "class": classes[k],
                "images": int(table[v, k]),
                "expected": round(float(expected[v, k]), 1),
            }
            for v, k in lacking
        ]
        first = cells[0]
        found.append(
            Finding(
                "cell",
                "note",
                f"{len(cells)} cells of class and '{column.name}' nearly empty, first "
                f"{first['class']} with {column.name} = {first['value']}: {first['images']} images,"
                f" {first['expected']:.0f} expected",
                column.name,
                f"collect {first['class']} with {column.name} = {first['value']}",
                len(cells),
                facts={"cells": cells},
            )
        )
    return found


def _many(count: int) -> str:
    return f"{count} class{'' if count == 1 else 'es'}"
