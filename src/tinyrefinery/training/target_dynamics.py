"""What the refined labels of a sample's crops had in common, over a whole training.

One crop's label says little: an aggressive crop may show another thing than its image. Summed over
all crops that training makes of a sample, labels tell what a refiner takes the sample for.

Two ways to find the class that stands out. `MeanLabel` sums the distributions, N x K numbers, and
is exact. Where that is too much, `TopVote` keeps three numbers a sample: the majority vote of
Boyer and Moore (1981, MJRTY) over the crops' top classes.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from tinyrefinery.losses.targets import SparseTargets, Targets

MEAN_LIMIT = 2**24  # our choice: 64 MiB of sums; they also go into every saved state


def joined(targets: Sequence[Targets]) -> Tensor:
    """Targets of several batches in one, (B, K) float32; sparse ones expanded."""
    dense = [each.dense() if isinstance(each, SparseTargets) else each for each in targets]
    return torch.cat(dense).float()


def probability_of(targets: Tensor, classes: Tensor) -> Tensor:
    """Probability that each row (B, K) gives to its class of `classes` (B,) int64, (B,)."""
    return targets.gather(1, classes[:, None])[:, 0]


def top_class(targets: Tensor) -> Tensor:
    """Most probable class of each row, the lowest number among equals, (B,) int64."""
    return targets.argmax(dim=1)


def add_to(sums: Tensor, at: Tensor, targets: Tensor) -> None:
    """Add each row of `targets` (B, K) to row `at` (B,) of `sums` (N, K)."""
    sums.index_add_(0, at, targets)


class Standout(Protocol):
    """The class that stands out of a sample's refined labels."""

    state: dict[str, Tensor]
    """Accumulators, the first dimension being the samples."""

    def add(self, at: Tensor, targets: Tensor) -> None:
        """Count labels (B, K) of the samples `at`, (B,) int64, no two the same."""
        ...

    def found(self, visits: Tensor) -> tuple[Tensor, Tensor]:
        """The class (N,) int64, and its mean probability (N,) over `visits` (N,) crops each."""
        ...


def standout(samples: int, classes: int, device: torch.device) -> Standout:
    """Exact where its N x K sums are at most `MEAN_LIMIT`, else by vote."""
    exact = samples * classes <= MEAN_LIMIT
    return MeanLabel(samples, classes, device) if exact else TopVote(samples, device)


class MeanLabel:
    """The class of largest mean probability."""

    def __init__(self, samples: int, classes: int, device: torch.device) -> None:
        self.state = {"label_sum": torch.zeros(samples, classes, device=device)}

    def add(self, at: Tensor, targets: Tensor) -> None:
        """Count labels; see `Standout`."""
        add_to(self.state["label_sum"], at, targets)

    def found(self, visits: Tensor) -> tuple[Tensor, Tensor]:
        """Class and mean probability; the lowest number among equals."""
        top, at = self.state["label_sum"].max(dim=1)
        return at, top / visits


class TopVote:
    """The class that is the top one of most crops, and how probable it was at least.

    It is found for certain where one class is the top one of more than half of the crops; else any
    of those that were top may be given. The probability is summed from the crop on that last made
    it the candidate: a lower bound of the mean, exact where it was the candidate throughout.
    """

    def __init__(self, samples: int, device: torch.device) -> None:
        self.state = {
            "candidate": torch.zeros(samples, dtype=torch.int64, device=device),
            "lead": torch.zeros(samples, dtype=torch.int32, device=device),
            "support": torch.zeros(samples, device=device),
        }

    def add(self, at: Tensor, targets: Tensor) -> None:
        """Count labels; see `Standout`."""
        held, lead, support = (each[at] for each in self.state.values())
        top = top_class(targets)
        is_new = (top != held) & (lead == 0)
        candidate = torch.where(is_new, top, held)
        gains = top == candidate
        support = support.masked_fill(is_new, 0) + probability_of(targets, candidate)
        news = (candidate, torch.where(gains, lead + 1, lead - 1), support)
        for each, new in zip(self.state.values(), news, strict=True):
            each.index_copy_(0, at, new)

    def found(self, visits: Tensor) -> tuple[Tensor, Tensor]:
        """Class and a lower bound of its mean probability."""
        return self.state["candidate"], self.state["support"] / visits
