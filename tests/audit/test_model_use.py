"""Whether a network uses a cue: made-up answers whose reason is known."""

import numpy as np
import pytest

from tinyrefinery.audit.model_use import use_of


def case(n=3000, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random(n) < 0.2, rng.integers(0, classes, n), rng


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_a_network_that_calls_whatever_is_dark_a_cat_uses_it(classes):
    cue, labels, rng = case(classes=classes)
    predicted = np.where(cue & (rng.random(len(cue)) < 0.5), 0, labels)
    use = use_of(cue, labels, predicted, 0)
    assert use.verdict == "USED"
    assert use.conflicting == (cue & (labels != 0)).sum()
    assert use.drawn == pytest.approx((predicted[cue & (labels != 0)] == 0).mean())
    assert use.low < use.drawn - use.called < use.high


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_a_network_that_cannot_see_in_the_dark_is_brittle(classes):
    cue, labels, rng = case(classes=classes)
    lost = cue & (rng.random(len(cue)) < 0.7)
    predicted = np.where(lost, rng.integers(0, classes, len(cue)), labels)
    assert use_of(cue, labels, predicted, 0).verdict == "BRITTLE"


@pytest.mark.parametrize("classes", [2, 10])
def test_a_network_that_does_not_care_does_not_use_it(classes):
    cue, labels, rng = case(classes=classes)
    wrong = rng.random(len(cue)) < 0.02
    predicted = np.where(wrong, (labels + 1) % classes, labels)
    assert use_of(cue, labels, predicted, 0).verdict == "NOT USED"


def test_a_few_images_prove_nothing():
    cue, labels, _ = case(40)
    assert use_of(cue, labels, labels, 0).verdict == "UNPROVEN"
    nothing = use_of(np.zeros(40, bool), labels, labels, 0)
    assert (nothing.verdict, nothing.conflicting, nothing.drawn) == ("UNPROVEN", 0, 0.0)
