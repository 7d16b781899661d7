"""Images far from all others of their dataset in a property.

A value is far out if it is more than `TIMES` as far from the median as the first percentile on that
side. The dataset itself sets the scale: a fixed bound for "dark" or "blurred" means nothing at 32
pixels.
"""

from collections.abc import Sequence

import numpy as np

from tinyrefinery.audit.association import Column
from tinyrefinery.audit.finding import Finding, Strip
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.pages.numbers import four_digits

PERCENTILE = 1.0
TIMES = 2.0  # our choice; one in 600,000 normally distributed values is that far out
_RARE = 0.005  # our choice: a word, such as a file format, is rare below this share of the images
_SHOWN = 12
_REMEDY = "look at the images and leave out those that do not show their class"


def outlier_findings(dataset: Dataset, columns: Sequence[Column]) -> list[Finding]:
    """Report outliers, one finding per property and side.

    Args:
        dataset: N images.
        columns: their properties.
    """
    findings = []
    for column in columns:
        if not column.is_number:
            findings += _rare_words(dataset, column)
            continue
        low, high = far_out(column.values)
        for rows, side in ((low, "low"), (high, "high")):
            if len(rows):
                findings.append(_finding(dataset, column, rows, side))
    return findings


def far_out(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of the values that are far too low and far too high, the most extreme first.

    Args:
        values: (N,), NaN where unknown.
    """
    present = values[~np.isnan(values)]
    if not len(present):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    first, middle, last = np.percentile(present, [PERCENTILE, 50, 100 - PERCENTILE])
    with np.errstate(invalid="ignore"):
        low = np.flatnonzero(values < middle - TIMES * (middle - first))
        high = np.flatnonzero(values > middle + TIMES * (last - middle))
    order = np.argsort(values, kind="stable")
    rank = np.empty(len(values), np.int64)
    rank[order] = np.arange(len(values))
    return low[np.argsort(rank[low])], high[np.argsort(-rank[high])]


def _finding(dataset: Dataset, column: Column, rows: np.ndarray, side: str) -> Finding:
    shown = rows[:_SHOWN]
    values = [float(column.values[row]) for row in shown]
    median = float(np.nanmedian(column.values))
    return Finding(
        "outlier",
        "note",
        f"{len(rows)} image{'' if len(rows) == 1 else 's'} with {side} {column.name}: "
        f"{four_digits(values[0])} (median {four_digits(median)})",
        str(dataset.manifest.column("path")[rows[0]]),
        _REMEDY,
        len(rows),
        strips=(
            Strip(
                f"{side}est {column.name}",
                tuple(int(row) for row in shown),
                tuple(map(four_digits, values)),
            ),
        ),
        facts={
            "column": column.name,
            "rows": [int(row) for row in rows[:1000]],
            "side": side,
            "median": median,
            "first": values[0],
        },
    )


def _rare_words(dataset: Dataset, column: Column) -> list[Finding]:
    words, word_of, counts = np.unique(column.values, return_inverse=True, return_counts=True)
    findings = []
    for number in np.flatnonzero((counts < _RARE * len(word_of)) & (words != "")):
        rows = np.flatnonzero(word_of == number)
        findings.append(
            Finding(
                "outlier",
                "note",
                f"{len(rows)} of {len(word_of)} images with {column.name} = {words[number]}",
                str(dataset.manifest.column("path")[rows[0]]),
                _REMEDY,
                len(rows),
                strips=(Strip(str(words[number]), tuple(int(row) for row in rows[:_SHOWN])),),
                facts={"column": column.name, "value": str(words[number])},
            )
        )
    return findings
