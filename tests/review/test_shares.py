import pytest

from tinyrefinery.errors import DataError
from tinyrefinery.review.queue import Item
from tinyrefinery.review.shares import SHARES, allot, choose_items, normalize_shares


def items(reason, numbers, **more):
    return [
        Item(uid=f"{n:064x}", file_name=f"{n}.png", reason=reason, why="w", **more) for n in numbers
    ]


@pytest.mark.parametrize("budget", [1, 2, 3, 7, 19, 200, 1001])
def test_the_parts_add_up(budget):
    counts = allot(budget, SHARES)
    assert sum(counts.values()) == budget
    assert all(abs(counts[name] - budget * share) < 1 for name, share in SHARES.items())


def test_each_reason_gets_its_share_of_a_full_market():
    pools = {name: items(name, range(1000 * k, 1000 * k + 500)) for k, name in enumerate(SHARES)}
    found = choose_items(pools, 200, SHARES, {})
    counts = {name: sum(each.reason == name for each in found) for name in SHARES}
    assert counts == dict(zip(SHARES, [80, 50, 40, 20, 10], strict=True))
    assert [each.uid for each in found if each.reason == "shortcut"] == [
        each.uid for each in pools["shortcut"][:20]
    ]
    half = [each.reason for each in found[:100]]
    assert {name: half.count(name) for name in SHARES} == {
        name: count / 2 for name, count in counts.items()
    }


def test_never_above_budget_and_one_image_a_group():
    pools = {"failed_test": items("failed_test", range(50)), "random": items("random", range(50))}
    groups = {f"{n:064x}": f"g{n // 5}" for n in range(50)}
    found = choose_items(pools, 30, SHARES, groups)
    assert len(found) == 10
    assert len({each.group for each in found}) == 10
    assert len(choose_items(pools, 3, SHARES, groups)) == 3


def test_random_keeps_what_others_want_too():
    pools = {
        "label_suspect": items("label_suspect", range(10), aum=-2.0, suggest="dog"),
        "random": items("random", range(10)),
    }
    found = choose_items(pools, 10, {"label_suspect": 0.5, "random": 0.5}, {})
    drawn = [each for each in found if each.reason == "random"]
    assert [each.uid for each in drawn] == [each.uid for each in pools["random"][:5]]
    assert drawn[0].also == ("label_suspect",)
    assert drawn[0].aum == -2.0
    assert drawn[0].suggest == "dog"


def test_what_cannot_be_filled_goes_to_others_and_to_none_that_was_ruled_out():
    pools = {name: items(name, range(100 * k, 100 * k + 50)) for k, name in enumerate(SHARES)}
    shares = normalize_shares({"disagreement": 0, "failed_test": 1})
    pools["failed_test"] = pools["failed_test"][:3]
    found = choose_items(pools, 60, shares, {})
    assert len(found) == 60
    assert not [each for each in found if each.reason == "disagreement"]


def test_wrong_shares_are_told():
    with pytest.raises(DataError, match="Did you mean 'random'"):
        normalize_shares({"randon": 1})
    with pytest.raises(DataError, match="0 or more"):
        normalize_shares({"random": -1})
    with pytest.raises(DataError, match="all shares are 0"):
        normalize_shares(dict.fromkeys(SHARES, 0))
