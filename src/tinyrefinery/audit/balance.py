"""Balance: classes with too few images, and classes that are missing under a condition."""

from collections.abc import Sequence

import numpy as np

from tinyrefinery.audit.association import Column
from tinyrefinery.audit.finding import Finding
from tinyrefinery.data.dataset import Dataset

SMALL = 0.2  # our choice: share of the median class, below which a class hardly affects training
FEW = 10  # our choice: fewer training images show no variety
# With fewer images, not even zero errors prove an accuracy of .9: Wilson's 95% interval of 34
# correct out of 34 starts at .898.
PROVABLE = 35
EXPECTED = 10.0  # our choice: expected images, from which on an empty cell is reported
_CELLS = 20  # cells reported per column


def class_findings(dataset: Dataset) -> list[Finding]:
    """Report classes with too few images for training or for evaluation."""
    findings = []
    for split in ("train", "validation", "test"):
        rows = dataset.manifest.rows(split)
        counts = np.bincount(dataset.manifest.labels[rows], minlength=len(dataset.classes))
        if len(rows):
            findings += _small_classes(dataset, split, counts)
    return findings


def _small_classes(dataset: Dataset, split: str, counts: np.ndarray) -> list[Finding]:
    median = float(np.median(counts[counts > 0]))
    least = max(FEW, SMALL * median) if split == "train" else PROVABLE
    few = [int(label) for label in np.argsort(counts, kind="stable") if counts[label] < least]
    if not few:
        return []
    classes = ", ".join(f"'{dataset.classes[label]}' with {counts[label]}" for label in few[:8])
    classes += ", …" if len(few) > 8 else ""
    train = split == "train"
    number = f"{len(few)} class{'' if len(few) == 1 else 'es'}"
    title = (
        f"{number} with too few training images: {classes} (median {median:.0f})"
        if train
        else f"{number} with too few images to evaluate in {split}: {classes}"
    )
    return [
        Finding(
            "small_class",
            "warning" if train else "note",
            title,
            dataset.classes[few[0]],
            "collect more images, merge the class with another one, or leave it out",
            len(few),
            f"A class is small if it has fewer than {FEW} images or less than a fifth of the "
            "median class."
            if train
            else f"With fewer than {PROVABLE} images, not even zero errors prove an accuracy of "
            ".90.",
            facts={"split": split, "counts": {dataset.classes[k]: int(counts[k]) for k in few}},
        )
    ]


def cell_findings(
    columns: Sequence[Column], labels: np.ndarray, classes: Sequence[str]
) -> list[Finding]:
    """Report cells of class x value with less than a fifth of the count under independence.

    Args:
        columns: words of N training images. Columns of numbers are skipped.
        labels: (N,).
        classes: class names.
    """
    findings = []
    for column in columns:
        if column.is_number:
            continue
        values, value_of = np.unique(column.values, return_inverse=True)
        table = np.bincount(value_of * len(classes) + labels, minlength=len(values) * len(classes))
        table = table.reshape(len(values), len(classes))  # (V, K) images
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
        images = f"{first['class']} with {column.name} = {first['value']}"
        findings.append(
            Finding(
                "cell",
                "note",
                f"{len(cells)} nearly empty combination{'' if len(cells) == 1 else 's'} of class "
                f"and '{column.name}', for example {images}: {first['images']} images, "
                f"{first['expected']:.0f} expected",
                column.name,
                f"collect {images}",
                len(cells),
                facts={"cells": cells},
            )
        )
    return findings
