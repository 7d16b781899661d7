"""Verdicts on refiners, and a ranking, by a fixed rule.

The rule is based on Table 6 of Label Refinery (arXiv 1805.02641): VGG-16 (70.1% top-1) is a worse
refiner than MobileNet (68.5%), because it fits its training crops better. One comparison gives a
direction but no numbers, so the bounds are our choice. docs/refiner.md has their limits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any, Literal

import numpy as np

from tinyrefinery.refiners.refiner_measures import Measurement

Grade = Literal["sound", "with care", "poor"]
GRADES: tuple[Grade, ...] = ("sound", "with care", "poor")
Z = 1.96  # two-sided 95%


@dataclass(frozen=True)
class Rule:
    """Bounds of the verdict: above the first, it is "with care", above the second "poor".

    All are our choice.
    """

    memorized: tuple[float, float] = (0.1, 0.3)
    """Memorized share of the correct labels of training crops."""
    unsteady: tuple[float, float] = (0.15, 0.3)
    """Share of the probability (total variation) that changes in other BN groups. Changes of the
    top class are not used: they do no harm for a crop that shows almost nothing."""
    miscalibrated: tuple[float, float] = (0.1, 0.25)
    """Expected calibration error on unseen crops."""
    silent: float = 1.05
    """With fewer effective classes per label, and if the crops of an image agree too, labels have
    no more information than the given ones."""
    silent_pairs: float = 0.01
    """Crops of an image agree if a smaller share of their pairs differ."""


@dataclass(frozen=True)
class Verdict:
    """A grade with reasons."""

    grade: Grade
    """The worst grade of all checks."""
    reasons: tuple[tuple[Grade, str], ...]
    """Grade and explanation of each check."""


@dataclass(frozen=True)
class Place:
    """A refiner's place in a ranking."""

    name: str
    place: int
    """From 1. Refiners without a significant difference to the first of them share a place."""
    score: float
    behind: float
    """Difference to the best, in the score's unit, >= 0."""
    standard_error: float
    """Standard error of `behind`, paired over the images."""


@dataclass(frozen=True)
class Ranking:
    """Refiners from the best to the worst."""

    basis: Literal["true crop labels", "top-1 minus gap"]
    places: tuple[Place, ...] = field(repr=False)

    @property
    def rests_on(self) -> str:
        """The score, as text."""
        if self.basis == "true crop labels":
            return (
                "mean KL from true crop label to label on training crops, in nats (lower is better)"
            )
        return "top-1 on unseen crops minus the gap to training crops (higher is better)"


@dataclass(frozen=True)
class Advantage:
    """How much more accurate a refiner is on unseen crops than the student."""

    top1: float
    """Difference of top-1, -1 to 1."""
    standard_error: float
    """Standard error of `top1`, paired by image."""
    refiner: float
    """Top-1 of the refiner, 0 to 1."""
    student: float
    """Top-1 of the student, trained on given labels, 0 to 1."""


def advantage(refiner: Measurement, student: Measurement) -> Advantage:
    """Measure the advantage of a refiner over the student's network, trained on given labels.

    Raises:
        ValueError: when they were measured on different images.
    """
    terms = {"refiner": (refiner.held_out,), "student": (student.held_out,)}
    difference, error = _difference(terms, "refiner", "student")
    top1 = (float(network.held_out.mean()) for network in (refiner, student))
    return Advantage(difference, error, *top1)


def judge(
    measures: Mapping[str, Any],
    classes: int,
    rule: Rule | None = None,
    lead: Advantage | None = None,
) -> Verdict:
    """Judge one refiner.

    The memorized share is judged by the end of its 95% interval that favors the refiner, and the
    accuracy by the other end. So with few images, a refiner is neither rejected nor accepted by
    chance.

    Args:
        measures: from `measure_refiner`.
        classes: K.
        rule: the bounds; None for the default ones.
        lead: advantage over the student; None if unknown.
    """
    rule = rule or Rule()
    checks = (
        _check_accuracy(measures, classes),
        None if lead is None else _check_advantage(lead),
        _check_memorized(measures, rule),
        _check_information(measures, rule),
        _check_calibration(measures, rule),
        _check_bn_groups(measures, rule),
        _check_truth(measures),
    )
    reasons = tuple(reason for reason in checks if reason is not None)
    worst = max((GRADES.index(grade) for grade, _ in reasons), default=0)
    return Verdict(GRADES[worst], reasons)


Reason = tuple[Grade, str]


def _grade(value: float, bounds: tuple[float, float]) -> Grade:
    return GRADES[int(value > bounds[0]) + int(value > bounds[1])]


def _check_accuracy(measures: Mapping[str, Any], classes: int) -> Reason:
    top1, chance = measures["validation_crops"]["top1"], 1 / classes
    low = top1 - Z * sqrt(top1 * (1 - top1) / measures["validation_crops"]["images"])
    text = f"top-1 on unseen crops {top1:.1%} (chance {chance:.1%})"
    return ("poor", f"{text}: no better than guessing") if low <= chance else ("sound", text)


def _check_advantage(lead: Advantage) -> Reason:
    text = (
        f"top-1 on unseen crops: refiner {lead.refiner:.1%}, student {lead.student:.1%} "
        f"(± {lead.standard_error:.1%})"
    )
    if lead.top1 > Z * lead.standard_error:
        return "sound", text
    if lead.top1 < -Z * lead.standard_error:
        return "poor", f"{text}: the refiner is less accurate than its student"
    return "with care", f"{text}: no evidence that the refiner is more accurate"


def _check_memorized(measures: Mapping[str, Any], rule: Rule) -> Reason:
    gap, train = measures["gap"], measures["train_crops"]["top1"]
    if train <= 0:
        return "sound", "no training crop is predicted as its given class, so none is memorized"
    share, low = gap["top1"] / train, (gap["top1"] - Z * gap["standard_error"]) / train
    text = (
        f"top-1 on training crops {train:.1%}, on unseen crops "
        f"{measures['validation_crops']['top1']:.1%}: {max(share, 0):.0%} of the correct labels of "
        "training crops are memorized and repeat the given ones"
    )
    return _grade(low, rule.memorized), text


def _check_information(measures: Mapping[str, Any], rule: Rule) -> Reason:
    crops = measures["train_crops"]
    classes, pairs = crops["effective_classes"], crops["pairs_disagree"]
    text = (
        f"labels of training crops are as uncertain as {classes:.2f} equally likely classes, and "
        f"{pairs:.1%} of the pairs of crops of an image have different top classes"
    )
    if classes < rule.silent and pairs < rule.silent_pairs:
        return "with care", f"{text}: hardly more information than one given label per image"
    return "sound", text


def _check_calibration(measures: Mapping[str, Any], rule: Rule) -> Reason:
    crops = measures["validation_crops"]
    text = (
        f"on unseen crops, confidence {crops['confidence']:.1%} and top-1 {crops['top1']:.1%} "
        f"(calibration error {crops['ece']:.3f})"
    )
    grade = _grade(crops["ece"], rule.miscalibrated)
    if grade == "sound":
        return grade, text
    if crops["confidence"] > crops["top1"]:
        return grade, f"{text}: overconfident, use a temperature above 1"
    return grade, f"{text}: underconfident, use a temperature below 1"


def _check_bn_groups(measures: Mapping[str, Any], rule: Rule) -> Reason | None:
    change = measures["movement"].get("other_bn_groups")
    if change is None:
        return None
    share = change["total_variation"]
    text = f"{share:.1%} of the probability changes in other BN groups of {measures['bn_group']}"
    grade = _grade(share, rule.unsteady)
    return grade, text if grade == "sound" else f"{text}: use larger groups, or calibrated"


def _check_truth(measures: Mapping[str, Any]) -> Reason | None:
    if not measures["crop_truth"]:
        return None
    refined, given = measures["crop_truth"]["labels"], measures["crop_truth"]["given"]
    worse = [
        f"{name} {refined[key]:.2f} against {given[key]:.2f}"
        for name, key in (("KL", "kl"), ("total variation", "total_variation"))
        if refined[key] >= given[key]
    ]
    if worse:
        return GRADES[len(worse)], (
            f"no closer to the true crop labels than the given labels: {', '.join(worse)}"
        )
    return "sound", (
        f"closer to the true crop labels than the given labels: KL {refined['kl']:.2f} nats "
        f"against {given['kl']:.2f}"
    )


def rank(refiners: Mapping[str, Measurement]) -> Ranking:
    """Rank refiners that were measured on the same crops, the best first.

    If true crop labels are known, the score is KL(truth || label) on training crops, the quality of
    the labels itself. Otherwise it is v - (t - v), where t and v are top-1 on training and
    validation crops: accuracy on unseen images minus what is memorized, with equal weights. The
    weight is our choice. With any weight above zero, the less overfitted of two equally accurate
    refiners wins.

    Raises:
        ValueError: when there is none, or they were measured on different images.
    """
    if len({(len(m.train), len(m.held_out)) for m in refiners.values()}) != 1:
        raise ValueError("refiners can be ranked only if all were measured on the same images")
    by_truth = all(m.truth_kl is not None for m in refiners.values())
    terms = {name: _terms(m, by_truth) for name, m in refiners.items()}
    scores = {name: sum(float(part.mean()) for part in parts) for name, parts in terms.items()}
    order = sorted(scores, key=lambda name: -scores[name])
    places: list[Place] = []
    leader, place = order[0], 1
    for number, name in enumerate(order, start=1):
        # A new place starts where the difference to its first refiner is significant.
        difference, error = _difference(terms, leader, name)
        if difference > Z * error:
            leader, place = name, number
        behind, error = _difference(terms, order[0], name)
        score = -scores[name] if by_truth else scores[name]
        places.append(Place(name, place, score, behind, error))
    return Ranking("true crop labels" if by_truth else "top-1 minus gap", tuple(places))


def _terms(measurement: Measurement, by_truth: bool) -> tuple[np.ndarray, ...]:
    """Values of independent sets of images, whose means add up to the score (more is better)."""
    if by_truth and measurement.truth_kl is not None:
        return (-measurement.truth_kl,)
    return (2 * measurement.held_out, -measurement.train)


def _difference(
    terms: Mapping[str, Sequence[np.ndarray]], first: str, second: str
) -> tuple[float, float]:
    """Difference of two scores and its standard error, paired by image."""
    pairs = [a - b for a, b in zip(terms[first], terms[second], strict=True)]
    error = sqrt(sum(float(values.var()) / len(values) for values in pairs))
    return sum(float(values.mean()) for values in pairs), error
