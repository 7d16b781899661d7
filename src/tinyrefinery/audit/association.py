"""How strongly a column of numbers or words is associated with the label, compared to chance.

Every measure is a linear rank statistic: the sum of a score over the images of a class. A column
has three kinds of scores:

* its midranks: the sum is the Mann-Whitney statistic, hence the one-vs-rest AUC;
* membership in a tail (the lowest or highest 2, 5 or 20%): a few dark images that are all of one
  class hardly change the AUC, but predict the class of every dark image;
* membership in a value, for words.

If labels are assigned at random (the null hypothesis), the mean and variance of such a sum are
known for any ties and any class frequency (sampling without replacement). This puts frequent and
rare classes on one scale, z. The noise floor is the 95th percentile of the largest |z| over all
scores and classes under permuted labels: the single-step maxT method of Westfall and Young (1993).
It controls the family-wise error rate under any dependence between columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinyrefinery.random import generator
from tinyrefinery.statistics.ranks import midranks

TAILS = (0.02, 0.05, 0.2)  # our choice: share of images in a tail
LEAST = 5.0  # z is too coarse with fewer expected images in a cell (Cochran's rule)
SHUFFLES = 200
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Column:
    """One property of N images."""

    name: str
    values: np.ndarray
    """(N,) float64 with NaN where unknown, or (N,) str with "" where unknown."""

    @property
    def is_number(self) -> bool:
        """Whether the values have an order."""
        return self.values.dtype.kind == "f"


@dataclass(frozen=True)
class Score:
    """One number per image: a rank, or 1 for members and 0 for all other images."""

    column: int
    """Place of the column."""
    kind: str
    """rank, low, high, value or missing."""
    value: str | float
    """The bound of a tail, or the word; empty for ranks."""
    members: np.ndarray
    """(m,) int64, images whose score is 1; all images for ranks."""
    ranks: np.ndarray | None
    """(N,) float64 midranks; None for membership."""

    def sums(self, labels: np.ndarray, classes: int) -> np.ndarray:
        """Sum of the score over the images of each class, (K,)."""
        if self.ranks is not None:
            return np.bincount(labels, self.ranks, classes)
        return np.bincount(labels[self.members], minlength=classes).astype(np.float64)

    def moments(self, n: int) -> tuple[float, float]:
        """Mean and variance of the score (n in the denominator) over all images."""
        if self.ranks is not None:
            return float(self.ranks.mean()), float(self.ranks.var())
        share = len(self.members) / n
        return share, share * (1 - share)


@dataclass(frozen=True)
class Associations:
    """The association of S scores with K classes of N images."""

    columns: tuple[Column, ...]
    scores: tuple[Score, ...]
    counts: np.ndarray
    """Images per class, (K,)."""
    sums: np.ndarray
    """Sum of each score over each class, (S, K)."""
    z: np.ndarray
    """(S, K); NaN where a cell is too small to be tested."""
    floor: float
    """The noise floor: chance alone exceeds this |z| anywhere in one of twenty datasets."""

    def auc(self, score: int) -> np.ndarray:
        """One-vs-rest AUC of a rank score, (K,): above .5 where the class has large values."""
        n, counts = self.counts.sum(), np.maximum(self.counts, 1)
        rest = np.maximum(n - self.counts, 1)
        return (self.sums[score] - counts * (counts + 1) / 2) / (counts * rest)

    def shares(self, score: int) -> np.ndarray:
        """Share of each class among the members of a score, (K,)."""
        return self.sums[score] / max(1, len(self.scores[score].members))


def associate(
    columns: Sequence[Column],
    labels: np.ndarray,
    classes: int,
    *,
    shuffles: int = SHUFFLES,
    seed: int = 0,
) -> Associations:
    """Measure the association of every column with every class.

    Args:
        columns: N values each. Columns with one value only have no scores.
        labels: (N,) int64.
        classes: K.
        shuffles: permutations of the labels to estimate the noise floor from.
        seed: for the permutations.
    """
    n = len(labels)
    scores = tuple(s for place, column in enumerate(columns) for s in scores_of(place, column))
    counts = np.bincount(labels, minlength=classes)
    mean, scale, tested = _scales(scores, counts, n)

    def standardized(shuffled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums and z for these labels, (S, K) each."""
        sums = np.array([score.sums(shuffled, classes) for score in scores]).reshape(-1, classes)
        with np.errstate(divide="ignore", invalid="ignore"):
            return sums, np.where(tested, (sums - mean) / scale, np.nan)

    sums, z = standardized(labels)
    largest = []
    if tested.any():
        dice = generator(seed, "audit permutations")
        for _ in range(shuffles):
            largest.append(np.nanmax(np.abs(standardized(dice.permutation(labels))[1])))
    floor = float(np.quantile(largest, CONFIDENCE, method="higher")) if largest else np.inf
    return Associations(tuple(columns), scores, counts, sums, z, floor)


def _scales(
    scores: Sequence[Score], counts: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and standard deviation of each sum under permutation, and which cells are tested."""
    moments = np.array([score.moments(n) for score in scores]).reshape(-1, 2)
    mean = counts * moments[:, :1]
    # Variance of the sum of a sample without replacement: m (n - m) / (n - 1) times the variance.
    scale = np.sqrt(counts * (n - counts) / max(1, n - 1) * moments[:, 1:])
    share = np.array([len(score.members) / max(1, n) for score in scores]).reshape(-1, 1)
    within = np.minimum(share, np.where(share == 1, 1, 1 - share))
    smallest = np.minimum(counts, n - counts) * within
    return mean, scale, (smallest >= LEAST) & (scale > 0)


def scores_of(place: int, column: Column) -> list[Score]:
    """The scores of a column, or none if it has one value only."""
    values = column.values
    if column.is_number:
        return _number_scores(place, values)
    words, counts = np.unique(values, return_counts=True)
    if len(words) < 2:
        return []
    return [
        Score(place, "value" if word else "missing", word, np.flatnonzero(values == word), None)
        for word, _ in zip(words, counts, strict=True)
    ]


def _number_scores(place: int, values: np.ndarray) -> list[Score]:
    present = np.flatnonzero(~np.isnan(values))
    scores = []
    if 0 < len(present) < len(values):
        scores.append(Score(place, "missing", "", np.flatnonzero(np.isnan(values)), None))
    numbers = values[present]
    if not len(numbers) or numbers.min() == numbers.max():
        return scores
    # Missing values get the middle rank, which favors no class.
    ranks = np.full(len(values), (len(values) + 1) / 2)
    ranks[present] = midranks(numbers) + (len(values) - len(present)) / 2
    scores.append(Score(place, "rank", "", np.arange(len(values)), ranks))
    for tail in TAILS:
        low, high = np.quantile(numbers, [tail, 1 - tail], method="nearest")
        for kind, bound, inside in (("low", low, numbers <= low), ("high", high, numbers >= high)):
            # With many equal values, several tails have the same bound: keep one.
            same = any(score.kind == kind and score.value == bound for score in scores)
            if 0 < inside.sum() < len(numbers) and not same:
                scores.append(Score(place, kind, float(bound), present[inside], None))
    return scores


def cramers_v(values: np.ndarray, labels: np.ndarray) -> float:
    """Bias-corrected Cramér's V of two nominal columns (Bergsma 2013, eqs. 4-6), 0 to 1."""
    rows, columns = (np.unique(column, return_inverse=True)[1] for column in (values, labels))
    r, k, n = int(rows.max()) + 1, int(columns.max()) + 1, len(rows)
    if min(r, k) < 2 or n < 2:
        return 0.0
    table = np.bincount(rows * k + columns, minlength=r * k).reshape(r, k).astype(np.float64)
    expected = table.sum(1, keepdims=True) * table.sum(0) / n
    phi2 = ((table - expected) ** 2 / expected).sum() / n
    phi2 = max(0.0, phi2 - (r - 1) * (k - 1) / (n - 1))
    least = min(r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)) - 1
    return float(np.sqrt(phi2 / least)) if least > 0 else 0.0
