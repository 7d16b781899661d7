"""The rule: what it says of refiners made to be sound, overfitted, silent, unsteady or wrong."""

import copy

import numpy as np
import pytest
from scipy.stats import sem

from tinyrefinery.refiners.refiner_measures import Measurement
from tinyrefinery.refiners.verdict import advantage, judge, rank

SOUND = {
    "bn_group": 64,
    "train_crops": {"top1": 0.62, "effective_classes": 2.1, "pairs_disagree": 0.3},
    "validation_crops": {"top1": 0.6, "images": 2000, "confidence": 0.62, "ece": 0.03},
    "gap": {"top1": 0.02, "standard_error": 0.005},
    "movement": {"other_bn_groups": {"top1_changed": 0.05, "total_variation": 0.04, "n": 2000}},
    "crop_truth": {
        "labels": {"kl": 0.9, "total_variation": 0.3},
        "given": {"kl": 5.0, "total_variation": 0.6},
    },
}


def changed(**parts):
    measures = copy.deepcopy(SOUND)
    for part, values in parts.items():
        measures[part] = {**measures[part], **values} if values else {}
    return measures


def test_a_sound_one():
    verdict = judge(SOUND, classes=10)
    assert verdict.grade == "sound"
    assert [grade for grade, _ in verdict.reasons] == ["sound"] * 6


@pytest.mark.parametrize(
    ("parts", "grade", "why"),
    [
        ({"validation_crops": {"top1": 0.1}}, "poor", "no better than guessing"),
        ({"gap": {"top1": 0.1}}, "with care", "16% of the correct labels"),
        ({"gap": {"top1": 0.3}}, "poor", "48% of the correct labels"),
        ({"gap": {"top1": 0.3, "standard_error": 0.2}}, "sound", "memorized"),
        (
            {"train_crops": {"effective_classes": 1.01, "pairs_disagree": 0.0}},
            "with care",
            "hardly more information than one given label",
        ),
        ({"train_crops": {"effective_classes": 1.01}}, "sound", "1.01 equally likely"),
        ({"validation_crops": {"ece": 0.2}}, "with care", "a temperature above 1"),
        ({"validation_crops": {"ece": 0.3, "confidence": 0.3}}, "poor", "a temperature below 1"),
        ({"movement": {"other_bn_groups": {"total_variation": 0.2}}}, "with care", "larger groups"),
        ({"movement": {"other_bn_groups": {"total_variation": 0.5}}}, "poor", "larger groups"),
        ({"movement": {}, "crop_truth": {}}, "sound", "chance 10.0%"),
        (
            {"crop_truth": {"labels": {"kl": 1.0, "total_variation": 0.7}}},
            "with care",
            "total variation 0.70 against 0.60",
        ),
        ({"crop_truth": {"labels": {"kl": 9.0, "total_variation": 0.7}}}, "poor", "KL 9.00"),
    ],
)
def test_grades(parts, grade, why):
    verdict = judge(changed(**parts), classes=10)
    assert verdict.grade == grade
    assert any(why in text for _, text in verdict.reasons)


def measured(train, held_out, truth=None, n=4000, seed=0):
    """A refiner right on these shares of the crops; all know the same images best."""
    ease = np.random.default_rng(seed).uniform(size=(2, n))
    right = [(ease[i] < share).astype(float) for i, share in enumerate((train, held_out))]
    kl = None if truth is None else np.full(n, truth) + ease[0]
    return Measurement({}, *right, kl)


def test_the_papers_case():
    """As VGG-16 and MobileNet of Table 6: more accurate, yet it fits its training crops better."""
    ranking = rank({"vgg": measured(0.85, 0.701), "mobilenet": measured(0.70, 0.685)})
    assert [each.name for each in ranking.places] == ["mobilenet", "vgg"]
    assert [each.place for each in ranking.places] == [1, 2]
    assert ranking.basis == "top-1 minus gap"
    first, second = ranking.places
    assert first.score == pytest.approx(2 * 0.685 - 0.70, abs=0.03)
    assert second.behind == pytest.approx(first.score - second.score)
    assert first.behind == 0


def test_what_cant_be_told_apart_shares_a_place():
    near = rank({"a": measured(0.7, 0.651), "b": measured(0.7, 0.65, seed=1, n=4000)})
    assert [each.place for each in near.places] == [1, 1]
    # The same images: a difference that pairs show.
    paired = rank({"a": measured(0.7, 0.66), "b": measured(0.7, 0.64)})
    assert [each.place for each in paired.places] == [1, 2]
    a, b = measured(0.7, 0.66), measured(0.7, 0.64)
    difference = 2 * (a.held_out - b.held_out)
    error = difference.std() / np.sqrt(len(difference))
    assert paired.places[1].standard_error == pytest.approx(error)


def test_crop_truth_decides_where_all_have_it():
    told = {"a": measured(0.9, 0.9, truth=1.5), "b": measured(0.5, 0.4, truth=1.0)}
    ranking = rank(told)
    assert ranking.basis == "true crop labels"
    assert [each.name for each in ranking.places] == ["b", "a"]
    assert ranking.places[1].behind == pytest.approx(0.5)
    assert rank(told | {"c": measured(0.9, 0.9)}).basis != "true crop labels"
    with pytest.raises(ValueError, match="same images"):
        rank(told | {"c": measured(0.9, 0.9, n=10)})


@pytest.mark.parametrize(
    ("refiner", "student", "grade", "why"),
    [
        (0.6, 0.5, "sound", "top-1 on unseen crops: refiner"),
        (0.5, 0.5, "with care", "no evidence that the refiner is more accurate"),
        (0.5, 0.6, "poor", "less accurate than its student"),
    ],
)
def test_a_refiner_is_compared_with_its_student(refiner, student, grade, why):
    over = advantage(measured(0.7, refiner), measured(0.7, student))
    verdict = judge(SOUND, classes=10, lead=over)
    assert verdict.grade == grade
    assert any(why in text for _, text in verdict.reasons)
    assert len(verdict.reasons) == len(judge(SOUND, classes=10).reasons) + 1


def test_the_advantage_is_paired_by_image():
    first, second = measured(0.7, 0.6, seed=1), measured(0.7, 0.55, seed=2)
    found = advantage(first, second)
    difference = first.held_out - second.held_out
    assert found.top1 == pytest.approx(difference.mean())
    assert found.standard_error == pytest.approx(sem(difference, ddof=0))
    assert (found.refiner, found.student) == (first.held_out.mean(), second.held_out.mean())
    with pytest.raises(ValueError, match="broadcast"):
        advantage(first, measured(0.7, 0.6, n=10))
