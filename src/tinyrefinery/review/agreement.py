"""Several reviewers: who looks at what, and how far they agree beyond chance."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tinyrefinery.data.overlay.decisions import Decision, valid_decisions
from tinyrefinery.errors import DataError
from tinyrefinery.random import integer
from tinyrefinery.review.queue import Item


def assigned(
    items: Sequence[Item], reviewer: str, reviewers: Sequence[str], overlap: float
) -> list[Item]:
    """The images of one reviewer, in the queue's order.

    A share of the images goes to all of them; the others are dealt out evenly. Who gets what
    follows from the images' ids, so that every reviewer may start the page alone.

    Args:
        items: of the queue.
        reviewer: whose.
        reviewers: all of them; empty: there is one, who sees everything.
        overlap: share that everyone sees, 0 to 1.

    Raises:
        DataError: when the reviewer isn't among them, or the share is none.
    """
    if not reviewers:
        return list(items)
    if reviewer not in reviewers:
        raise DataError(f"reviewer '{reviewer}' is not among {', '.join(reviewers)}")
    if not 0 <= overlap <= 1:
        raise DataError(f"overlap is {overlap}; it is a share, 0 to 1")
    names = sorted(set(reviewers))
    order = sorted(items, key=lambda each: integer(0, "reviewers", each.uid))
    shared = round(overlap * len(order))
    own = {each.uid for each in order[:shared]}
    own |= {
        each.uid
        for place, each in enumerate(order[shared:])
        if names[place % len(names)] == reviewer
    }
    return [each for each in items if each.uid in own]


@dataclass(frozen=True)
class Agreement:
    """Of two reviewers on the images that both judged."""

    reviewers: tuple[str, str]
    n: int
    share: float
    """On which they said the same."""
    kappa: float | None
    """Cohen's; None where both said one and the same thing of everything."""

    def __str__(self) -> str:
        kappa = "undefined: one answer only" if self.kappa is None else f"{self.kappa:.2f}"
        names = " and ".join(self.reviewers)
        return f"{names} agree on {self.share:.0%} of {self.n} images, Cohen's kappa {kappa}"


def agreements(decisions: Iterable[Decision]) -> list[Agreement]:
    """Of every two reviewers, by each one's first word of an image.

    The first word, since later ones may have been spoken after a disagreement was shown. Cohen
    (1960), "A coefficient of agreement for nominal scales".
    """
    first: dict[str, dict[str, str]] = {}
    for each in valid_decisions(decisions):
        if each.verdict != "skip" and not each.settles:
            first.setdefault(each.by, {}).setdefault(each.uid, _answer(each))
    names = sorted(first)
    found = []
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            both = sorted(first[one].keys() & first[other].keys())
            if both:
                pairs = [(first[one][uid], first[other][uid]) for uid in both]
                share = sum(a == b for a, b in pairs) / len(pairs)
                found.append(Agreement((one, other), len(pairs), share, cohen_kappa(pairs)))
    return found


def _answer(each: Decision) -> str:
    """The class that a person sees, or the verdict where there is none."""
    label = each.label if each.verdict == "relabel" else each.was if each.verdict == "ok" else None
    return f"class {label}" if label is not None else each.verdict


def cohen_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Agreement beyond chance, at most 1; None where chance alone would agree on everything."""
    n = len(pairs)
    words = {word for pair in pairs for word in pair}
    observed = sum(a == b for a, b in pairs) / n
    expected = sum(
        sum(a == word for a, _ in pairs) * sum(b == word for _, b in pairs) for word in words
    ) / (n * n)
    return None if expected == 1 else (observed - expected) / (1 - expected)
