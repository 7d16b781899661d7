"""The refiner's class for each training sample, over all crops of a training run.

The label of one crop means little: an aggressive crop may show something else than its image. The
sum over all crops of a sample shows which class the refiner predicts for the sample.

There are two ways to find it. `MeanLabel` sums the distributions, N x K numbers, and is exact.
Where that takes too much memory, `TopVote` keeps three numbers per sample: the majority vote of
Boyer and Moore (1981, MJRTY) over the crops' top classes.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from tinyrefinery.losses.targets import SparseTargets, Targets

MEAN_LIMIT = 2**24  # our choice: 64 MiB of sums; they also go into every saved state


def concatenate(targets: Sequence[Targets]) -> Tensor:
    """Targets of several batches in one, (B, K) float32; sparse ones expanded."""
    dense = [part.dense() if isinstance(part, SparseTargets) else part for part in targets]
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


class RefinedClass(Protocol):
    """The class that most of a sample's refined labels have."""

    state: dict[str, Tensor]
    """Accumulators, the first dimension being the samples."""

    def add(self, at: Tensor, targets: Tensor) -> None:
        """Count labels (B, K) of the samples `at`, (B,) int64, no two the same."""
        ...

    def result(self, visits: Tensor) -> tuple[Tensor, Tensor]:
        """The class (N,) int64, and its mean probability (N,) over `visits` (N,) crops each."""
        ...


def refined_class(samples: int, classes: int, device: torch.device) -> RefinedClass:
    """Exact where its N x K sums are at most `MEAN_LIMIT`, else by vote."""
    exact = samples * classes <= MEAN_LIMIT
    return MeanLabel(samples, classes, device) if exact else TopVote(samples, device)


class MeanLabel:
    """The class of largest mean probability."""

    def __init__(self, samples: int, classes: int, device: torch.device) -> None:
        self.state = {"label_sum": torch.zeros(samples, classes, device=device)}

    def add(self, at: Tensor, targets: Tensor) -> None:
        """Count labels; see `RefinedClass`."""
        add_to(self.state["label_sum"], at, targets)

    def result(self, visits: Tensor) -> tuple[Tensor, Tensor]:
        """Class and mean probability; the lowest number among equals."""
        top, at = self.state["label_sum"].max(dim=1)
        return at, top / visits


class TopVote:
    """The class that is the top one of most crops, and how probable it was at least.

    The class is certain where it is the top one of more than half of the crops. Otherwise it is
    any of those that were top. Its probability is summed from the crop on that last made it the
    candidate: a lower bound of the mean, exact where it was the candidate throughout.
    """

    def __init__(self, samples: int, device: torch.device) -> None:
        self.state = {
            "candidate": torch.zeros(samples, dtype=torch.int64, device=device),
            "lead": torch.zeros(samples, dtype=torch.int32, device=device),
            "support": torch.zeros(samples, device=device),
        }

    def add(self, at: Tensor, targets: Tensor) -> None:
        """Count labels; see `RefinedClass`."""
        candidate, lead, support = (values[at] for values in self.state.values())  # (N,) -> (B,)
        top = top_class(targets)
        # A candidate that has lost its lead gives way to the next top class that differs.
        is_new = (top != candidate) & (lead == 0)
        candidate = torch.where(is_new, top, candidate)
        lead = torch.where(top == candidate, lead + 1, lead - 1)
        support = support.masked_fill(is_new, 0) + probability_of(targets, candidate)
        for values, new in zip(self.state.values(), (candidate, lead, support), strict=True):
            values.index_copy_(0, at, new)

    def result(self, visits: Tensor) -> tuple[Tensor, Tensor]:
        """Class and a lower bound of its mean probability."""
        return self.state["candidate"], self.state["support"] / visits
