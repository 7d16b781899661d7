"""A budget of human looks, shared among the reasons for them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tinyrefinery.errors import DataError
from tinyrefinery.names import did_you_mean
from tinyrefinery.review.queue import REASONS, Item

SHARES: Mapping[str, float] = {
    "failed_test": 0.40,
    "label_suspect": 0.25,
    "disagreement": 0.20,
    "shortcut": 0.10,
    "random": 0.05,
}
"""Our choice: most looks go where a test fails; a few at random measure the labels honestly."""


def checked_shares(given: Mapping[str, float] | None) -> dict[str, float]:
    """Shares of all reasons, adding up to one; those not given keep their own before that.

    Raises:
        DataError: when a reason is unknown, a share negative, or nothing is left.
    """
    shares = dict(SHARES)
    for name, share in (given or {}).items():
        if name not in SHARES:
            raise DataError(
                f"no reason '{name}'.{did_you_mean(name, SHARES)} Reasons: {', '.join(SHARES)}"
            )
        if not 0 <= share < float("inf"):
            raise DataError(f"share of '{name}' is {share}; shares are 0 or more")
        shares[name] = share
    total = sum(shares.values())
    if not total:
        raise DataError("all shares are 0; give one of them more")
    return {name: share / total for name, share in shares.items()}


def allotted(budget: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers that add up to the budget, by largest remainders; equal ones in order."""
    exact = {name: budget * share for name, share in shares.items()}
    counts = {name: int(value) for name, value in exact.items()}
    left = budget - sum(counts.values())
    order = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in order[:left]:
        counts[name] += 1
    return counts


def chosen(
    pools: Mapping[str, Sequence[Item]],
    budget: int,
    shares: Mapping[str, float],
    groups: Mapping[str, str],
) -> list[Item]:
    """Images for a queue: one a group, never more than the budget, the best of each reason first.

    The random share is taken first, so that no other reason takes an image away from it: that
    would leave out just the wrong labels. What a reason can't fill goes to the others in the
    order of the shares, and to the random one last.

    Args:
        pools: by reason, the best candidates first.
        budget: images.
        shares: as `checked_shares` gives them.
        groups: group of near copies by uid; an image without one is alone.
    """
    counts = allotted(budget, shares)
    order = sorted(shares, key=lambda name: (name != "random", -shares[name]))
    found: dict[str, list[Item]] = {name: [] for name in order}
    taken: set[str] = set()
    left = _take(found, pools, counts, order, taken, groups)
    for name in [*order[1:], order[0]] if order[0] == "random" else order:
        if left > 0 and shares[name] > 0:
            left = _take(found, pools, {name: left}, [name], taken, groups)
    return _mixed(found, pools, groups)


def _take(
    found: dict[str, list[Item]],
    pools: Mapping[str, Sequence[Item]],
    counts: Mapping[str, int],
    order: Sequence[str],
    taken: set[str],
    groups: Mapping[str, str],
) -> int:
    """Move candidates from pools; how many could not be found."""
    missing = 0
    for name in order:
        wanted = counts[name]
        for each in pools.get(name, ()):
            if not wanted:
                break
            group = groups.get(each.uid, each.uid)
            if group not in taken:
                taken.add(group)
                found[name].append(each)
                wanted -= 1
        missing += wanted
    return missing


def _mixed(
    found: Mapping[str, list[Item]], pools: Mapping[str, Sequence[Item]], groups: Mapping[str, str]
) -> list[Item]:
    """All reasons spread evenly over the queue, so that whoever stops early saw some of each."""
    everywhere = {name: {each.uid: each for each in pool} for name, pool in pools.items()}
    places = [
        ((place + 0.5) / len(items), list(REASONS).index(name), item)
        for name, items in found.items()
        for place, item in enumerate(items)
    ]
    places.sort(key=lambda each: each[:2])
    return [_complete(item, everywhere, groups) for _, _, item in places]


def _complete(
    item: Item, everywhere: Mapping[str, Mapping[str, Item]], groups: Mapping[str, str]
) -> Item:
    """The item with what other reasons know of the same image."""
    others = {
        name: pool[item.uid]
        for name, pool in everywhere.items()
        if name not in (item.reason, "random") and item.uid in pool
    }
    every = [item, *others.values()]
    tests = dict.fromkeys(name for each in every for name in each.failed_tests)
    return replace(
        item,
        also=tuple(others),
        failed_tests=tuple(tests),
        aum=next((each.aum for each in every if each.aum is not None), None),
        refiner=next((each.refiner for each in every if each.refiner), {}),
        network=next((each.network for each in every if each.network), {}),
        suggest=next((each.suggest for each in every if each.suggest), None),
        group=groups.get(item.uid),
    )
