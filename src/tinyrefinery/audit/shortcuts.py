"""Shortcuts: properties, file formats and metadata that give the label away.

A network takes whatever tells the classes apart, and a small one takes the simplest. What holds in
the data set by accident (dark images are all of one class) then fails in the field.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinyrefinery.audit.association import Associations, Column, associate, cramers_v
from tinyrefinery.pages.numbers import four_digits
from tinyrefinery.random import permutation
from tinyrefinery.statistics.proportions import wilson

# Our choices of what is worth a person's time. Chance is not the question here, the noise floor has
# ruled it out; with 50,000 images differences without consequence lie above it.
AUC_APART = 0.15  # |AUC - .5|: a class that lies a good way to one side
ODDS = 3.0  # by which a cue raises the odds of a class, at the lower end of the interval
OVERLAP = 1 / 3  # of the images of two cues for one class: then they are one story
MOST_IMAGES = 100_000  # drawn at random where there are more

Accepted = Mapping[tuple[str, str], str]
"""(column, class name) -> why the association is part of the task. See `accepted.py`."""


@dataclass(frozen=True)
class Cue:
    """Something about an image that one can see or look up, and that speaks for a class."""

    column: str
    kind: str
    """low, high, value or missing."""
    bound: str | float
    """Largest value of a low tail, smallest of a high one, the word of a value."""

    def holds(self, values: np.ndarray) -> np.ndarray:
        """For which values of the column, (N,) bool."""
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
        """The same as a condition in SQL."""
        name = self.column if self.column.isidentifier() else sql_quoted(self.column, '"')
        if self.kind in ("low", "high"):
            return f"{name} {'<=' if self.kind == 'low' else '>='} {self.bound:.6g}"
        if self.kind == "missing":
            return f"{name} IS NULL"
        return f"{name} = {sql_quoted(str(self.bound))}"


def sql_quoted(text: str, mark: str = "'") -> str:
    """Text as SQL writes it: marks within it are doubled."""
    return mark + text.replace(mark, 2 * mark) + mark


@dataclass(frozen=True)
class Shortcut:
    """One class that one column gives away."""

    cue: Cue
    label: int
    images: int
    """For which the cue holds."""
    share: float
    """Of the class among them."""
    low: float
    """Wilson's 95 % interval of that share."""
    high: float
    base: float
    """Share of the class among all images."""
    z: float
    """Of the cue, against the noise floor."""
    auc: float | None
    """Of the class against the rest; None for words."""
    v: float | None
    """Bias-corrected Cramér's V of the whole column; None for numbers."""
    also: tuple[str, ...] = ()
    """Further columns that tell the same of the same images."""
    reason: str | None = None
    """Why it is accepted; None if it isn't."""

    @property
    def strength(self) -> float:
        """0 to 1: how far the column settles the class, by its whole range or by its cue."""
        apart = 0.0 if self.auc is None else 2 * abs(self.auc - 0.5)
        return max(apart, (self.low - self.base) / max(1e-9, 1 - self.base))


def find_shortcuts(
    columns: Sequence[Column],
    labels: np.ndarray,
    classes: Sequence[str],
    accepted: Accepted | None = None,
    *,
    seed: int = 0,
) -> tuple[list[Shortcut], Associations]:
    """Columns that give classes away, the strongest first, and all that was computed.

    A column is one for a class when it is above the noise floor of all columns and classes together
    (`associate`), and of consequence: the class's AUC is at least `AUC_APART` from one half, or in
    a tail or with a value the odds of the class are at least `ODDS` times its odds overall.
    Columns that speak of the same class by the same images are told once.

    Args:
        columns: of N images.
        labels: (N,) int64.
        classes: K names.
        accepted: associations that were judged before.
        seed: of permutations and of the choice where there are more than `MOST_IMAGES`.
    """
    if len(labels) > MOST_IMAGES:
        some = np.sort(permutation(seed, "audit images", 0, len(labels))[:MOST_IMAGES])
        columns = [Column(each.name, each.values[some]) for each in columns]
        labels = labels[some]
    found = associate(columns, labels, len(classes), seed=seed)
    shortcuts = []
    for place, column in enumerate(found.columns):
        v = None if column.is_number else cramers_v(column.values, labels)
        mine = [_strongest(found, place, label, v) for label in range(len(classes))]
        flagged = [each for each in mine if each is not None]
        if len(classes) == 2 and len(flagged) == 2:
            flagged = [max(flagged, key=lambda each: (each.strength, each.share - each.base))]
        shortcuts += flagged
    shortcuts.sort(key=lambda each: -each.strength)
    known = accepted or {}
    words = tuple(str(name) for name in classes)
    named = [
        replace(each, reason=known.get((each.cue.column, words[each.label]))) for each in shortcuts
    ]
    return _told_once(named, {column.name: column.values for column in columns}), found


def _strongest(found: Associations, place: int, label: int, v: float | None) -> Shortcut | None:
    """What a column has against one class, if it is above the floor and of consequence."""
    mine = [number for number, score in enumerate(found.scores) if score.column == place]
    ranks = [number for number in mine if found.scores[number].kind == "rank"]
    auc = float(found.auc(ranks[0])[label]) if ranks else None
    base = found.counts[label] / max(1, found.counts.sum())
    if not 0 < base < 1:
        return None
    cues = [_cue(found, number, label, auc, v) for number in mine if number not in ranks]
    strong = [
        each for each in cues if each.z > found.floor and _odds(each.low) >= ODDS * _odds(base)
    ]
    if strong:
        return max(strong, key=lambda each: each.z)
    if auc is None or abs(auc - 0.5) < AUC_APART or not abs(found.z[ranks[0], label]) > found.floor:
        return None
    side = "low" if auc < 0.5 else "high"
    tails = [each for each in cues if each.cue.kind == side]
    return max(tails, key=lambda each: each.images, default=None)


def _cue(
    found: Associations, number: int, label: int, auc: float | None, v: float | None
) -> Shortcut:
    score, images = found.scores[number], len(found.scores[number].members)
    low, high = wilson(int(found.sums[number, label]), images)
    return Shortcut(
        cue=Cue(found.columns[score.column].name, score.kind, score.value),
        label=label,
        images=images,
        share=float(found.shares(number)[label]),
        low=low,
        high=high,
        base=float(found.counts[label] / found.counts.sum()),
        z=float(np.nan_to_num(found.z[number, label])),  # 0 where it was not tested
        auc=auc,
        v=v,
    )


def _odds(share: float) -> float:
    return share / max(1e-9, 1 - share)


def _told_once(shortcuts: list[Shortcut], values: Mapping[str, np.ndarray]) -> list[Shortcut]:
    """Weaker shortcuts to the same class by the same images become `also` of the strongest."""
    kept: list[Shortcut] = []
    held: list[np.ndarray] = []
    for each in shortcuts:
        mask = each.cue.holds(values[each.cue.column])
        for place, (other, theirs) in enumerate(zip(kept, held, strict=True)):
            least = max(1, min(mask.sum(), theirs.sum()))
            same = other.label == each.label and other.reason == each.reason
            if same and (mask & theirs).sum() / least >= OVERLAP:
                kept[place] = replace(other, also=(*other.also, each.cue.column))
                break
        else:
            kept.append(each)
            held.append(mask)
    return kept
