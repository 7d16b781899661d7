"""Several reviewers: who reviews which images, and how well they agree beyond chance."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from tinyrefinery.data.overlay.decisions import Decision, valid_decisions
from tinyrefinery.errors import DataError
from tinyrefinery.random import integer
from tinyrefinery.review.queue import Item


def assigned_items(
    items: Sequence[Item], reviewer: str, reviewers: Sequence[str], overlap: float
) -> list[Item]:
    """The images of one reviewer, in the queue's order.

    All reviewers get a common share of the images. The rest is divided evenly. The assignment
    depends only on the images' ids, so each reviewer can start the page independently.

    Args:
        items: the queue.
        reviewer: one of the reviewers.
        reviewers: names of all reviewers, or empty if a single reviewer gets all images.
        overlap: share of the images that all reviewers get, 0 to 1.

    Raises:
        DataError: when the reviewer is not in the list, or `overlap` is out of range.
    """
    if not reviewers:
        return list(items)
    if reviewer not in reviewers:
        raise DataError(
            f"reviewer '{reviewer}' is not among {', '.join(reviewers)}: add the name to --among"
        )
    if not 0 <= overlap <= 1:
        raise DataError(f"overlap is {overlap}, but it must be from 0 to 1")
    names = sorted(set(reviewers))
    order = sorted(items, key=lambda item: integer(0, "reviewers", item.uid))
    shared = round(overlap * len(order))
    uids = {item.uid for item in order[:shared]}
    uids |= {
        item.uid
        for place, item in enumerate(order[shared:])
        if names[place % len(names)] == reviewer
    }
    return [item for item in items if item.uid in uids]


@dataclass(frozen=True)
class Agreement:
    """Agreement of two reviewers on the images that both reviewed."""

    reviewers: tuple[str, str]
    n: int
    """Number of these images."""
    share: float
    """Share of these images with equal answers."""
    kappa: float | None
    """Cohen's kappa; None if both gave the same single answer for all images."""

    def __str__(self) -> str:
        kappa = "undefined (a single answer)" if self.kappa is None else f"{self.kappa:.2f}"
        names = " and ".join(self.reviewers)
        return f"{names} agree on {self.share:.0%} of {self.n} images, Cohen's kappa {kappa}"


def agreements(decisions: Iterable[Decision]) -> list[Agreement]:
    """Measure the agreement of every two reviewers, on their first decisions per image.

    Later decisions may follow a disagreement that the reviewer was shown, so they do not count.
    Cohen (1960), "A coefficient of agreement for nominal scales".
    """
    first: dict[str, dict[str, str]] = {}
    for decision in valid_decisions(decisions):
        if decision.verdict != "skip" and not decision.settles:
            first.setdefault(decision.by, {}).setdefault(decision.uid, _answer(decision))
    result = []
    for a, b in combinations(sorted(first), 2):
        common = sorted(first[a].keys() & first[b].keys())
        if common:
            pairs = [(first[a][uid], first[b][uid]) for uid in common]
            share = sum(answer == other for answer, other in pairs) / len(pairs)
            result.append(Agreement((a, b), len(pairs), share, cohen_kappa(pairs)))
    return result


def _answer(decision: Decision) -> str:
    """The class that the reviewer chose, or the verdict if there is none."""
    label = {"relabel": decision.label, "ok": decision.was}.get(decision.verdict)
    return f"class {label}" if label is not None else decision.verdict


def cohen_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Agreement beyond chance, at most 1; None where chance alone would always agree."""
    n = len(pairs)
    answers = {answer for pair in pairs for answer in pair}
    observed = sum(a == b for a, b in pairs) / n
    expected = sum(
        sum(a == answer for a, _ in pairs) * sum(b == answer for _, b in pairs)
        for answer in answers
    ) / (n * n)
    return None if expected == 1 else (observed - expected) / (1 - expected)
