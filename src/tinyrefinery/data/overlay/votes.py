"""What people who differ, or can't tell, make of an image together: a distribution over classes.

Each reviewer has one vote, the mean of the votes is the target. This is the soft label of several
annotators (Peterson et al. 2019, "Human uncertainty makes classification more robust").
"""

from collections.abc import Iterable, Mapping

from tinyrefinery.data.overlay.decisions import Decision, standing

AMBIGUOUS = "ambiguous"
_VOTES = ("ok", "relabel", AMBIGUOUS)


def words(decisions: Iterable[Decision]) -> dict[str, dict[str, Decision]]:
    """The newest word of each reviewer by uid and name; skips say nothing.

    A decision that settles a disagreement ends what was said before it; but where it says that the
    image is ambiguous, and doesn't say between which classes, the disagreement is just that.
    """
    own: dict[str, dict[str, Decision]] = {}
    for each in standing(decisions):
        if each.verdict == "skip":
            continue
        said = own.setdefault(each.uid, {})
        if each.settles and each.verdict == AMBIGUOUS and not each.shares and said:
            own[each.uid] = {by: word for by, word in said.items() if word.verdict in _VOTES}
            continue
        if each.settles:
            said.clear()
        said.pop(each.by, None)  # so that the order is that of time
        said[each.by] = each
    return own


def shares(said: Mapping[str, Decision], given: str) -> dict[str, float] | None:
    """Probability of each class that the votes about one image name; None where they name one.

    `ok` and `relabel` are for one class; `ambiguous` is for the classes that it names, by their
    shares, or evenly for those that the others and the given label name. An image that its newest
    word takes out has none.

    Args:
        said: newest word of each reviewer, the newest last, as `words` gives them.
        given: label that the image has without them.
    """
    votes = list(said.values())
    if not votes or votes[-1].verdict not in _VOTES:
        return None
    votes = [each for each in votes if each.verdict in _VOTES]
    named = dict.fromkeys(name for each in votes for name in _named(each, given))
    found = [_vote(each, given, tuple(named)) for each in votes]
    total: dict[str, float] = {}
    for vote in found:
        for name, share in vote.items():
            total[name] = total.get(name, 0.0) + share / len(found)
    return total if len(total) > 1 else None


def _named(each: Decision, given: str) -> tuple[str, ...]:
    """The classes that a vote names: of an ambiguous image also the one that the person saw."""
    if each.verdict == "relabel":
        return (str(each.label),)
    own = (each.label,) if each.verdict == AMBIGUOUS and each.label else ()
    return *own, each.was or given


def _vote(each: Decision, given: str, named: tuple[str, ...]) -> dict[str, float]:
    if each.verdict != AMBIGUOUS:
        return dict.fromkeys(_named(each, given), 1.0)
    weights = dict(each.shares) or dict.fromkeys(named, 1.0)
    whole = sum(weights.values())
    return {name: weight / whole for name, weight in weights.items()}
