"""Successive halving: many candidates for a few epochs, the best third for three times as many.

Source: Karnin, Koren and Somekh, "Almost optimal exploration in multi-armed bandits", ICML 2013;
Jamieson and Talwalkar, "Non-stochastic best arm identification", AISTATS 2016. Each round trains
from the start, with a schedule that ends, since networks in the middle of theirs can't be compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass

KEEP = 3
"""Of as many candidates, one continues, for as many times the epochs."""
ROUNDS = 3
_STEPS = 400  # least training steps of a first round that tells anything
_MOST = 27  # candidates of the first round
FEWEST = 2


@dataclass(frozen=True)
class Round:
    """How many candidates are trained, and for how long."""

    candidates: int
    epochs: int


def first_round(seconds_per_epoch: Sequence[float], seconds: float, steps: int, most: int) -> Round:
    """The first round, which takes a third of the time.

    Args:
        seconds_per_epoch: of each candidate, in the order in which they are taken.
        seconds: for all rounds.
        steps: training steps per epoch.
        most: epochs of the last round.
    """
    share = seconds / ROUNDS
    epochs = max(1, min(-(-_STEPS // steps), most // KEEP ** (ROUNDS - 1)))
    fit, total = 0, 0.0
    for each in seconds_per_epoch[:_MOST]:
        total += each * epochs
        if fit >= FEWEST and total > share:
            break
        fit += 1
    taken = sum(seconds_per_epoch[:fit])
    return Round(fit, _epochs(taken, share, 1, most // KEEP ** (ROUNDS - 1)))


def next_round(
    before: Round, number: int, seconds_per_epoch: Sequence[float], seconds: float, most: int
) -> Round:
    """A further round.

    Args:
        before: the round before it.
        number: of it, from 1.
        seconds_per_epoch: as measured, of the candidates from the best to the worst.
        seconds: that are left for this round and those after it.
        most: epochs of the last round.
    """
    count = max(FEWEST, -(-before.candidates // KEEP))
    count = min(count, len(seconds_per_epoch))
    share = seconds / (ROUNDS - number)
    limit = max(1, most // KEEP ** (ROUNDS - 1 - number))
    return Round(count, _epochs(sum(seconds_per_epoch[:count]), share, before.epochs, limit))


def _epochs(seconds_per_epoch: float, seconds: float, least: int, most: int) -> int:
    """Epochs that fit into a time."""
    return max(1, min(most, max(least, int(seconds / max(seconds_per_epoch, 1e-9)))))
