"""Dividing a review budget among the reasons."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tinyrefinery.errors import DataError, did_you_mean
from tinyrefinery.review.queue import REASONS, Item

SHARES: Mapping[str, float] = {
    "failed_test": 0.40,
    "label_suspect": 0.25,
    "disagreement": 0.20,
    "shortcut": 0.10,
    "random": 0.05,
}
"""Our choice: failed tests get the most, and a few random images give an unbiased error rate."""


def normalize_shares(changes: Mapping[str, float] | None) -> dict[str, float]:
    """Apply changes to the default shares, then normalize all shares to a sum of one.

    Raises:
        DataError: when a reason is unknown, a share is negative, or all shares are 0.
    """
    shares = dict(SHARES)
    for name, share in (changes or {}).items():
        if name not in SHARES:
            raise DataError(
                f"no reason '{name}'.{did_you_mean(name, SHARES)} Reasons: {', '.join(SHARES)}"
            )
        if not 0 <= share < float("inf"):
            raise DataError(f"share of '{name}' is {share}, but shares must be 0 or more")
        shares[name] = share
    total = sum(shares.values())
    if not total:
        raise DataError("all shares are 0: set one of them higher")
    return {name: share / total for name, share in shares.items()}


def allot(budget: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers that add up to the budget, by largest remainders, ties in order."""
    exact = {name: budget * share for name, share in shares.items()}
    counts = {name: int(value) for name, value in exact.items()}
    left = budget - sum(counts.values())
    order = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in order[:left]:
        counts[name] += 1
    return counts


def choose_items(
    pools: Mapping[str, Sequence[Item]],
    budget: int,
    shares: Mapping[str, float],
    groups: Mapping[str, str],
) -> list[Item]:
    """Choose the images of a queue, at most one per group of near duplicates.

    Random images are taken first. If other reasons could take them away, the sample would lack
    just the wrong labels. If a reason has too few candidates, the rest of its budget goes to the
    other reasons in the order of their shares, and to random images last.

    Args:
        pools: candidates by reason, the best first.
        budget: largest number of images.
        shares: share of each reason, with a sum of one.
        groups: group of near duplicates by uid. An image without duplicates has none.
    """
    counts = allot(budget, shares)
    order = sorted(shares, key=lambda name: (name != "random", -shares[name]))
    picked: dict[str, list[Item]] = {name: [] for name in order}
    used_groups: set[str] = set()
    left = _take(picked, pools, counts, order, used_groups, groups)
    for name in [*order[1:], order[0]] if order[0] == "random" else order:
        if left > 0 and shares[name] > 0:
            left = _take(picked, pools, {name: left}, [name], used_groups, groups)
    return _interleaved(picked, pools, groups)


def _take(
    picked: dict[str, list[Item]],
    pools: Mapping[str, Sequence[Item]],
    counts: Mapping[str, int],
    order: Sequence[str],
    used_groups: set[str],
    groups: Mapping[str, str],
) -> int:
    """Move candidates from the pools to `picked`. Returns how many are still missing."""
    missing = 0
    for name in order:
        left = counts[name]
        for item in pools.get(name, ()):
            if not left:
                break
            group = groups.get(item.uid, item.uid)
            if group not in used_groups:
                used_groups.add(group)
                picked[name].append(item)
                left -= 1
        missing += left
    return missing


def _interleaved(
    picked: Mapping[str, list[Item]], pools: Mapping[str, Sequence[Item]], groups: Mapping[str, str]
) -> list[Item]:
    """Spread all reasons evenly over the queue, so that even a short review covers each."""
    by_uid = {name: {item.uid: item for item in pool} for name, pool in pools.items()}
    placed = [
        ((place + 0.5) / len(items), list(REASONS).index(name), item)
        for name, items in picked.items()
        for place, item in enumerate(items)
    ]
    placed.sort(key=lambda entry: entry[:2])
    return [_with_other_reasons(item, by_uid, groups) for _, _, item in placed]


def _with_other_reasons(
    item: Item, by_uid: Mapping[str, Mapping[str, Item]], groups: Mapping[str, str]
) -> Item:
    """The item with the facts that other reasons have on the same image."""
    others = {
        name: pool[item.uid]
        for name, pool in by_uid.items()
        if name not in (item.reason, "random") and item.uid in pool
    }
    items = [item, *others.values()]
    tests = dict.fromkeys(name for other in items for name in other.failed_tests)
    return replace(
        item,
        also=tuple(others),
        failed_tests=tuple(tests),
        aum=next((other.aum for other in items if other.aum is not None), None),
        refiner=next((other.refiner for other in items if other.refiner), {}),
        network=next((other.network for other in items if other.network), {}),
        suggest=next((other.suggest for other in items if other.suggest), None),
        group=groups.get(item.uid),
    )
