"""Shortcuts: properties, file formats and metadata that predict the label.

A network learns whatever separates the classes, and a small one learns whatever is simplest. A rule
that holds by accident in the dataset (all dark images are of one class) fails in the field.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinyrefinery.audit.association import Associations, Column, associate, cramers_v
from tinyrefinery.pages.numbers import four_digits
from tinyrefinery.random import permutation
from tinyrefinery.statistics.proportions import wilson

# Our choices of what is worth reviewing. The noise floor already excludes chance, but with 50,000
# images even negligible differences are above it.
AUC_APART = 0.15  # smallest |AUC - .5| of a class
ODDS = 3.0  # smallest factor by which a cue raises the odds of a class, at the interval's lower end
OVERLAP = 1 / 3  # share of common images from which on two cues for one class are merged
MOST_IMAGES = 100_000  # a random sample of this size is searched if there are more

Accepted = Mapping[tuple[str, str], str]
"""(column, class name) -> why the association is part of the task. See `accepted.py`."""


@dataclass(frozen=True)
class Cue:
    """A visible or recorded property of an image that predicts a class."""

    column: str
    kind: str
    """low, high, value or missing."""
    bound: str | float
    """The largest value of a low tail, the smallest of a high tail, or the word."""

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Whether each value of the column has the cue, (N,) bool."""
        if self.kind == "low":
            return values <= self.bound
        if self.kind == "high":
            return values >= self.bound
        if values.dtype.kind == "f":
            return np.isnan(values)
        return values == self.bound

    def __str__(self) -> str:
        if self.kind in ("low", "high"):
            assert not isinstance(self.bound, str)
            return f"{self.column} {'<=' if self.kind == 'low' else '>='} {four_digits(self.bound)}"
        return (
            f"{self.column} unknown" if self.kind == "missing" else f"{self.column} = {self.bound}"
        )

    @property
    def sql(self) -> str:
        """The cue as an SQL condition."""
        name = self.column if self.column.isidentifier() else sql_quoted(self.column, '"')
        if self.kind in ("low", "high"):
            return f"{name} {'<=' if self.kind == 'low' else '>='} {self.bound:.6g}"
        if self.kind == "missing":
            return f"{name} IS NULL"
        return f"{name} = {sql_quoted(str(self.bound))}"


def sql_quoted(text: str, mark: str = "'") -> str:
    """Quote text for SQL, doubling any quotation marks inside."""
    return mark + text.replace(mark, 2 * mark) + mark


@dataclass(frozen=True)
class Shortcut:
    """A column that predicts a class."""

    cue: Cue
    label: int
    images: int
    """Number of images with the cue."""
    share: float
    """Share of the class among them."""
    low: float
    """Lower end of Wilson's 95% interval of `share`."""
    high: float
    """Upper end."""
    base: float
    """Share of the class among all images."""
    z: float
    """z of the cue, comparable to the noise floor."""
    auc: float | None
    """AUC of the class against the rest; None for words."""
    v: float | None
    """Bias-corrected Cramér's V of the whole column; None for numbers."""
    also: tuple[str, ...] = ()
    """Further columns with a cue for the same class in mostly the same images."""
    reason: str | None = None
    """Why it is accepted; None if it isn't."""

    @property
    def strength(self) -> float:
        """0 to 1: how well the column predicts the class, by its full range or by its cue."""
        by_range = 0.0 if self.auc is None else 2 * abs(self.auc - 0.5)
        return max(by_range, (self.low - self.base) / max(1e-9, 1 - self.base))


def find_shortcuts(
    columns: Sequence[Column],
    labels: np.ndarray,
    classes: Sequence[str],
    accepted: Accepted | None = None,
    *,
    seed: int = 0,
) -> tuple[list[Shortcut], Associations]:
    """Find the columns that predict a class, the strongest first.

    A column is a shortcut to a class if it is above the noise floor of all columns and classes
    (`associate`), and if the effect is large: the class's AUC is at least `AUC_APART` from one
    half, or with a cue the odds of the class are at least `ODDS` times its overall odds. Columns
    that predict the same class by the same images are reported once.

    Args:
        columns: properties of N images.
        labels: (N,) int64.
        classes: K names.
        accepted: associations that are part of the task.
        seed: for the permutations, and for the sample if there are more than `MOST_IMAGES`.

    Returns:
        The shortcuts, and the associations that they were chosen from.
    """
    if len(labels) > MOST_IMAGES:
        sample = np.sort(permutation(seed, "audit images", 0, len(labels))[:MOST_IMAGES])
        columns = [Column(column.name, column.values[sample]) for column in columns]
        labels = labels[sample]
    associations = associate(columns, labels, len(classes), seed=seed)
    shortcuts = []
    for place, column in enumerate(associations.columns):
        v = None if column.is_number else cramers_v(column.values, labels)
        per_class = [_strongest(associations, place, label, v) for label in range(len(classes))]
        flagged = [shortcut for shortcut in per_class if shortcut is not None]
        if len(classes) == 2 and len(flagged) == 2:  # one cue against both classes
            flagged = [max(flagged, key=lambda s: (s.strength, s.share - s.base))]
        shortcuts += flagged
    shortcuts.sort(key=lambda shortcut: -shortcut.strength)
    reasons = accepted or {}
    shortcuts = [
        replace(s, reason=reasons.get((s.cue.column, str(classes[s.label])))) for s in shortcuts
    ]
    return _merged(shortcuts, {column.name: column.values for column in columns}), associations


def _strongest(
    associations: Associations, place: int, label: int, v: float | None
) -> Shortcut | None:
    """The column's strongest cue for one class, if above the noise floor and large enough."""
    floor, scores = associations.floor, associations.scores
    of_column = [number for number, score in enumerate(scores) if score.column == place]
    ranks = [number for number in of_column if scores[number].kind == "rank"]
    auc = float(associations.auc(ranks[0])[label]) if ranks else None
    base = associations.counts[label] / max(1, associations.counts.sum())
    if not 0 < base < 1:
        return None
    candidates = [
        _shortcut(associations, number, label, auc, v)
        for number in of_column
        if number not in ranks
    ]
    strong = [s for s in candidates if s.z > floor and _odds(s.low) >= ODDS * _odds(base)]
    if strong:
        return max(strong, key=lambda s: s.z)
    # No tail or value is strong enough. The whole range may be: report its widest tail.
    if (
        auc is None
        or abs(auc - 0.5) < AUC_APART
        or not abs(associations.z[ranks[0], label]) > floor
    ):
        return None
    side = "low" if auc < 0.5 else "high"
    tails = [s for s in candidates if s.cue.kind == side]
    return max(tails, key=lambda s: s.images, default=None)


def _shortcut(
    associations: Associations, number: int, label: int, auc: float | None, v: float | None
) -> Shortcut:
    score = associations.scores[number]
    images = len(score.members)
    low, high = wilson(int(associations.sums[number, label]), images)
    return Shortcut(
        cue=Cue(associations.columns[score.column].name, score.kind, score.value),
        label=label,
        images=images,
        share=float(associations.shares(number)[label]),
        low=low,
        high=high,
        base=float(associations.counts[label] / associations.counts.sum()),
        z=float(np.nan_to_num(associations.z[number, label])),  # 0 where it was not tested
        auc=auc,
        v=v,
    )


def _odds(share: float) -> float:
    return share / max(1e-9, 1 - share)


def _merged(shortcuts: list[Shortcut], values: Mapping[str, np.ndarray]) -> list[Shortcut]:
    """Merge weaker shortcuts to the same class by the same images into `also` of the strongest."""
    kept: list[Shortcut] = []
    kept_masks: list[np.ndarray] = []
    for shortcut in shortcuts:
        mask = shortcut.cue.holds(values[shortcut.cue.column])
        for place, (stronger, other) in enumerate(zip(kept, kept_masks, strict=True)):
            least = max(1, min(mask.sum(), other.sum()))
            same = stronger.label == shortcut.label and stronger.reason == shortcut.reason
            if same and (mask & other).sum() / least >= OVERLAP:
                kept[place] = replace(stronger, also=(*stronger.also, shortcut.cue.column))
                break
        else:
            kept.append(shortcut)
            kept_masks.append(mask)
    return kept
