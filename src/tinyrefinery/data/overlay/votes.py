"""Soft labels from the votes of reviewers who disagree or are uncertain.

Each reviewer has one vote. The soft label is the mean of the votes (Peterson et al. 2019, "Human
uncertainty makes classification more robust").
"""

from collections.abc import Iterable, Mapping

from tinyrefinery.data.overlay.decisions import Decision, valid_decisions

AMBIGUOUS = "ambiguous"
_VOTES = ("ok", "relabel", AMBIGUOUS)


def latest_votes(decisions: Iterable[Decision]) -> dict[str, dict[str, Decision]]:
    """The newest decision of each reviewer on each image: uid -> reviewer -> decision.

    Skips are ignored. A decision that settles a disagreement replaces all earlier ones. But if it
    is `ambiguous` without shares, the earlier votes stay: they are the disagreement.
    """
    by_uid: dict[str, dict[str, Decision]] = {}
    for decision in valid_decisions(decisions):
        if decision.verdict == "skip":
            continue
        votes = by_uid.setdefault(decision.uid, {})
        if decision.settles and decision.verdict == AMBIGUOUS and not decision.shares and votes:
            by_uid[decision.uid] = {
                reviewer: vote for reviewer, vote in votes.items() if vote.verdict in _VOTES
            }
            continue
        if decision.settles:
            votes.clear()
        votes.pop(decision.by, None)  # keeps the order of time
        votes[decision.by] = decision
    return by_uid


def soft_label(votes: Mapping[str, Decision], given: str) -> dict[str, float] | None:
    """The soft label from the votes on one image: class -> probability; None for a single class.

    `ok` and `relabel` vote for one class. `ambiguous` votes for several: by its shares or, without
    any, evenly for all classes of the other votes and the given label. If the newest vote removes
    the image, there is no soft label.

    Args:
        votes: newest decision of each reviewer, the newest last, from `words`.
        given: label that the image has without them.
    """
    decisions = list(votes.values())
    if not decisions or decisions[-1].verdict not in _VOTES:
        return None
    decisions = [decision for decision in decisions if decision.verdict in _VOTES]
    classes = dict.fromkeys(name for vote in decisions for name in _classes_of(vote, given))
    total: dict[str, float] = {}
    for decision in decisions:
        for name, share in _vote(decision, given, tuple(classes)).items():
            total[name] = total.get(name, 0.0) + share / len(decisions)
    return total if len(total) > 1 else None


def _classes_of(decision: Decision, given: str) -> tuple[str, ...]:
    """The classes in a decision: for an ambiguous image, also the label that was shown."""
    if decision.verdict == "relabel":
        return (str(decision.label),)
    label = (decision.label,) if decision.verdict == AMBIGUOUS and decision.label else ()
    return *label, decision.was or given


def _vote(decision: Decision, given: str, classes: tuple[str, ...]) -> dict[str, float]:
    if decision.verdict != AMBIGUOUS:
        return dict.fromkeys(_classes_of(decision, given), 1.0)
    weights = dict(decision.shares) or dict.fromkeys(classes, 1.0)
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}
