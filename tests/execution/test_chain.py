"""When a chain must stop, and when it may."""

import pytest
from torch import nn

from tinyrefinery.errors import ChainError
from tinyrefinery.execution.chain import Chain, Generation, collapse
from tinyrefinery.recipe.schema import Chain as StopRule
from tinyrefinery.recipe.schema import Collapse

RULE = Collapse()


def generation(id, top1, by=(), architecture="small"):
    return Generation(id, nn.Identity(), top1, by, architecture)


@pytest.mark.parametrize(
    ("top1", "best", "classes", "images", "collapsed"),
    [
        (0.10, 0.70, 10, 1000, True),  # chance
        (0.15, 0.70, 10, 1000, True),  # a twelfth of the refiner's lead over chance
        (0.50, 0.70, 10, 1000, False),
        (0.44, 0.70, 10, 1000, True),  # 26 points below
        (0.44, 0.70, 10, 20, False),  # within the noise of twenty images
        (0.66, 0.70, 3, 25, False),  # few classes: near twice chance, and healthy
        (0.34, 0.70, 3, 1000, True),
        (0.51, 0.95, 2, 1000, True),
        (0.012, 0.50, 100, 1000, True),
        (0.010, 0.011, 100, 1000, False),  # the refiner knew nothing either
        (0.90, 0.70, 10, 1000, False),
    ],
)
def test_collapse(top1, best, classes, images, collapsed):
    assert (collapse(top1, [best], classes, images, RULE) is not None) == collapsed


def test_without_a_known_refiner_there_is_no_verdict():
    assert collapse(0.1, [], 10, 1000, RULE) is None


def test_a_collapsed_generation_is_kept_but_ends_the_chain():
    chain = Chain(10, 1000, RULE)
    chain.add(generation("first", 0.8))
    with pytest.raises(ChainError, match=r"'second' collapsed.*everything trained so far is kept"):
        chain.add(generation("second", 0.1, ("first",)))
    assert [each.id for each in chain.generations] == ["first", "second"]


@pytest.mark.parametrize(
    ("top1", "classes", "images", "noted"),
    [
        (1 / 3, 3, 240, True),
        (0.38, 3, 240, True),  # the 95 % interval begins at 32 %
        (0.42, 3, 240, False),  # at 36 %
        (0.5, 10, 8, False),
        (0.0, 2, 100, True),
    ],
)
def test_a_network_at_chance_is_noted(top1, classes, images, noted):
    chain = Chain(classes, images, RULE)
    chain.add(generation("first", top1))
    assert ("not shown to be better than guessing" in chain.chance_note) == noted
    assert not noted or f"n = {images}" in chain.chance_note
    silent = Chain(classes, images, None)  # smoke runs are always at chance
    silent.add(generation("first", top1))
    assert silent.chance_note == ""


def test_no_rule_no_collapse():
    chain = Chain(10, 1000, None)
    chain.add(generation("first", 0.8))
    chain.add(generation("second", 0.1, ("first",)))
    assert len(chain) == 2


def test_a_missing_generation_is_named():
    chain = Chain(10, 1000, RULE)
    chain.add(generation("first", 0.8))
    with pytest.raises(ChainError, match=r"no generation 'frist'.*first"):
        chain["frist"]


def lineage(*figures):
    chain, before = Chain(10, 1000, None), ()
    for number, top1 in enumerate(figures):
        chain.add(generation(f"g{number}", top1, before))
        before = (f"g{number}",)
    return chain


@pytest.mark.parametrize(
    ("figures", "rule", "stopped"),
    [
        ((0.50,), StopRule(), False),  # nothing to compare with
        ((0.50, 0.55), StopRule(), False),
        ((0.50, 0.50), StopRule(), True),
        ((0.50, 0.55, 0.54), StopRule(), True),
        ((0.50, 0.55, 0.54), StopRule(patience=2), False),
        ((0.50, 0.55, 0.54, 0.53), StopRule(patience=2), True),
        ((0.50, 0.52), StopRule(min_gain=0.03), True),
    ],
)
def test_stop_without_gain(figures, rule, stopped):
    chain = lineage(*figures)
    last = f"g{len(figures) - 1}"
    assert chain.has_stopped_gaining(last, "small", rule) == stopped


def test_a_larger_refiner_is_no_reason_to_stop():
    chain = Chain(10, 1000, None)
    chain.add(generation("large", 0.9, (), "large"))
    chain.add(generation("small", 0.6, ("large",), "small"))
    assert not chain.has_stopped_gaining("small", "small", StopRule())
