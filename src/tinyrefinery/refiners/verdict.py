"""A verdict on refiners, and a ranking, from a stated rule.

The ground is Table 6 of Label Refinery (arXiv 1805.02641): VGG-16 (70.1 % top-1) is a worse refiner
than MobileNet (68.5 %), since it fits its training crops better. One comparison gives a direction
and no numbers, so the bounds here are our choice; docs/refiner.md says what they can't know.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any, Literal

import numpy as np

from tinyrefinery.refiners.measures import Measured

Grade = Literal["sound", "with care", "poor"]
GRADES: tuple[Grade, ...] = ("sound", "with care", "poor")
Z = 1.96  # two-sided 95 %


@dataclass(frozen=True)
class Rule:
    """Bounds of the verdict: (above it: with care, above it: poor). All are our choice."""

    by_heart: tuple[float, float] = (0.1, 0.3)
    """Share of the training crops labelled as given that it would miss on unseen images."""
    unsteady: tuple[float, float] = (0.15, 0.3)
    """Share of the probability that batch mates move (total variation): the top class of a crop
    that shows next to nothing may change without harm."""
    miscalibrated: tuple[float, float] = (0.1, 0.25)
    """Expected calibration error on crops of unseen images."""
    silent: float = 1.05
    """Effective classes of a label below which, if crops of an image agree too, it says no more
    than the given one."""
    silent_pairs: float = 0.01
    """Share of disagreeing pairs of crops below which crops of an image agree."""


@dataclass(frozen=True)
class Verdict:
    """What a refiner is worth, and why."""

    grade: Grade
    """The worst that any of the checks found."""
    reasons: tuple[tuple[Grade, str], ...]
    """What each check found, in words."""


@dataclass(frozen=True)
class Place:
    """A refiner's place among others."""

    name: str
    place: int
    """From 1; equal for those that can't be told apart from the first of them."""
    score: float
    behind: float
    """How much worse than the best, in the score's unit, >= 0."""
    standard_error: float
    """Of `behind`, paired over the images that all were measured on."""


@dataclass(frozen=True)
class Ranking:
    """Refiners from the best to the worst."""

    basis: Literal["crop truth", "held-out less by heart"]
    places: tuple[Place, ...] = field(repr=False)

    @property
    def rests_on(self) -> str:
        """The score in words."""
        if self.basis == "crop truth":
            return "mean KL from crop truth to the label of training crops, in nats; less is better"
        return (
            "top-1 on crops of validation images, minus the gap from training crops to it; more is "
            "better"
        )


@dataclass(frozen=True)
class Ahead:
    """By how much a refiner is right on more crops of unseen images than who is to learn."""

    top1: float
    """Difference of top-1, -1 to 1."""
    standard_error: float
    """Of it, paired by image."""
    refiner: float
    student: float
    """Top-1 of both, 0 to 1."""


def ahead(refiner: Measured, student: Measured) -> Ahead:
    """What a refiner has over the network that is to learn from it, as trained on given labels.

    Raises:
        ValueError: when they were measured on different images.
    """
    difference, error = _behind(
        {"refiner": (refiner.held_out,), "student": (student.held_out,)}, "refiner", "student"
    )
    return Ahead(difference, error, float(refiner.held_out.mean()), float(student.held_out.mean()))


def judge(
    measures: Mapping[str, Any],
    classes: int,
    rule: Rule | None = None,
    over: Ahead | None = None,
) -> Verdict:
    """The verdict on one refiner.

    What is known by heart is held against its bounds by the end of the 95 % interval that speaks
    for the refiner, and what it knows by the other end: few images condemn nobody, nor acquit.

    Args:
        measures: of `measure_refiner`.
        classes: K.
        rule: the bounds; the default ones where None.
        over: what it has over the network that is to learn; None where that isn't known.
    """
    rule = rule or Rule()
    checks = (
        _knows(measures, classes),
        None if over is None else _ahead(over),
        _by_heart(measures, rule),
        _says_something(measures, rule),
        _calibrated(measures, rule),
        _steady(measures, rule),
        _true(measures),
    )
    reasons = tuple(each for each in checks if each is not None)
    worst = max((GRADES.index(grade) for grade, _ in reasons), default=0)
    return Verdict(GRADES[worst], reasons)


Reason = tuple[Grade, str]


def _grade(value: float, bounds: tuple[float, float]) -> Grade:
    return GRADES[int(value > bounds[0]) + int(value > bounds[1])]


def _knows(measures: Mapping[str, Any], classes: int) -> Reason:
    top1, chance = measures["validation_crops"]["top1"], 1 / classes
    low = top1 - Z * sqrt(top1 * (1 - top1) / measures["validation_crops"]["images"])
    text = f"right on {top1:.1%} of the crops of unseen images (chance: {chance:.1%})"
    return ("poor", f"{text}: no better than guessing") if low <= chance else ("sound", text)


def _ahead(over: Ahead) -> Reason:
    text = (
        f"crops of unseen images {over.refiner:.1%} right, who is to learn {over.student:.1%} "
        f"(± {over.standard_error:.1%})"
    )
    if over.top1 > Z * over.standard_error:
        return "sound", text
    if over.top1 < -Z * over.standard_error:
        return "poor", f"{text}: it knows less than who is to learn from it"
    return "with care", f"{text}: not shown to know more than who is to learn from it"


def _by_heart(measures: Mapping[str, Any], rule: Rule) -> Reason:
    gap, train = measures["gap"], measures["train_crops"]["top1"]
    if train <= 0:
        return "sound", "names no training crop as given, so it knows none by heart"
    share, sure = gap["top1"] / train, (gap["top1"] - Z * gap["standard_error"]) / train
    text = (
        f"training crops {train:.1%}, unseen ones {measures['validation_crops']['top1']:.1%}: of "
        f"its right labels of training crops, {max(share, 0):.0%} are known by heart and repeat "
        "the given ones"
    )
    return _grade(sure, rule.by_heart), text


def _says_something(measures: Mapping[str, Any], rule: Rule) -> Reason:
    crops = measures["train_crops"]
    classes, pairs = crops["effective_classes"], crops["pairs_disagree"]
    text = (
        f"a label of a training crop is as open as {classes:.2f} equally likely classes, and of "
        f"two crops of one image {pairs:.1%} get different top classes"
    )
    if classes < rule.silent and pairs < rule.silent_pairs:
        return "with care", f"{text}: it says hardly more than one given label an image"
    return "sound", text


def _calibrated(measures: Mapping[str, Any], rule: Rule) -> Reason:
    crops = measures["validation_crops"]
    side = "more" if crops["confidence"] > crops["top1"] else "less"
    text = (
        f"on unseen crops it is {crops['confidence']:.1%} sure and {crops['top1']:.1%} right "
        f"(calibration error {crops['ece']:.3f})"
    )
    grade = _grade(crops["ece"], rule.miscalibrated)
    if grade == "sound":
        return grade, text
    mend = "above" if side == "more" else "below"
    return grade, f"{text}: {side} sure than it may be; a temperature {mend} 1 mends that"


def _steady(measures: Mapping[str, Any], rule: Rule) -> Reason | None:
    moved = measures["movement"].get("other_mates")
    if moved is None:
        return None
    share = moved["total_variation"]
    text = (
        f"other batch mates move {share:.1%} of the probability (BN groups of "
        f"{measures['bn_group']})"
    )
    grade = _grade(share, rule.unsteady)
    return grade, text if grade == "sound" else f"{text}: use larger groups, or calibrated"


def _true(measures: Mapping[str, Any]) -> Reason | None:
    if not measures["crop_truth"]:
        return None
    own, given = measures["crop_truth"]["labels"], measures["crop_truth"]["given"]
    worse = [
        f"{name} {own[key]:.2f} against {given[key]:.2f}"
        for name, key in (("KL", "kl"), ("total variation", "total_variation"))
        if own[key] >= given[key]
    ]
    if worse:
        return GRADES[len(worse)], (
            f"no nearer to the true labels of crops than given labels are: {', '.join(worse)}"
        )
    return "sound", (
        f"nearer to the true labels of crops than given labels are: KL {own['kl']:.2f} nats "
        f"against {given['kl']:.2f}"
    )


def rank(refiners: Mapping[str, Measured]) -> Ranking:
    """Refiners that were measured on the same crops, the best first.

    Where the truth of crops is known, by KL(truth || label) on training crops: that is the quality
    of labels itself. Elsewhere by v - (t - v), where t and v are top-1 on crops of training and of
    validation images: what it gets right on unseen images, less what it knows by heart, a point for
    a point. That weight is our choice; any weight above zero speaks for the less overfitted of two
    equally accurate ones.

    Raises:
        ValueError: when there is none, or they were measured on different images.
    """
    if len({(len(each.train), len(each.held_out)) for each in refiners.values()}) != 1:
        raise ValueError("refiners can be ranked where all were measured on the same images")
    known = all(each.truth_kl is not None for each in refiners.values())
    terms = {name: _terms(each, known) for name, each in refiners.items()}
    scores = {name: sum(float(part.mean()) for part in parts) for name, parts in terms.items()}
    order = sorted(scores, key=lambda name: -scores[name])
    places: list[Place] = []
    leader, place = order[0], 1
    for number, name in enumerate(order, start=1):
        if _behind(terms, leader, name)[0] > Z * _behind(terms, leader, name)[1]:
            leader, place = name, number
        behind, error = _behind(terms, order[0], name)
        places.append(Place(name, place, -scores[name] if known else scores[name], behind, error))
    return Ranking("crop truth" if known else "held-out less by heart", tuple(places))


def _terms(each: Measured, known: bool) -> tuple[np.ndarray, ...]:
    """Values of independent sets of images, whose means add up to the score (more is better)."""
    if known and each.truth_kl is not None:
        return (-each.truth_kl,)
    return (2 * each.held_out, -each.train)


def _behind(terms: Mapping[str, Sequence[np.ndarray]], best: str, name: str) -> tuple[float, float]:
    """Difference of two scores and its standard error, paired by image."""
    pairs = [a - b for a, b in zip(terms[best], terms[name], strict=True)]
    error = sqrt(sum(float(each.var()) / len(each) for each in pairs))
    return sum(float(each.mean()) for each in pairs), error
