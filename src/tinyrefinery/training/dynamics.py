"""Training dynamics: how each training sample fares, without any further forward pass.

A network learns what samples have in common before it learns what sets one apart. So the samples
that it classifies late, forgets, or never gets right are the hard ones and the mislabeled ones:
the area under the margin (Pleiss et al. 2020, arXiv 2001.10528) and forgetting events (Toneva et
al. 2019, arXiv 1812.05159). Where labels are refined, the refiner's labels of a sample's many crops
are recorded as well.

All of it is with respect to the GIVEN class, also where the network is trained on refined labels,
and about the network in training, on its crops: not its moving average, not whole images.
"""

from dataclasses import dataclass

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from tinyrefinery.data.device import to_device
from tinyrefinery.losses.targets import Targets
from tinyrefinery.training.target_dynamics import (
    concatenate,
    probability_of,
    refined_class,
    top_class,
)

# Our choice. Steps are counted many at a time, as small operations cost as much as large ones.
STEPS_AT_ONCE = 32
VALUES_AT_ONCE = 2**22  # logits kept for it, 16 MiB in float32

_INT = torch.int32
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class _Step:
    """A step that is not yet counted."""

    rows: np.ndarray
    logits: Tensor
    labels: Tensor
    targets: Targets


class Dynamics:
    """Accumulators over the training samples, on the training device."""

    def __init__(
        self,
        rows: np.ndarray,
        classes: int,
        device: torch.device = _CPU,
        *,
        refined: bool = False,
        threshold_classes: np.ndarray | None = None,
    ) -> None:
        """Start with no visit.

        Args:
            rows: (N,) manifest rows to train on, no two the same; results are in their order.
            classes: K.
            device: where training computes.
            refined: whether targets come from a refiner, so that they are worth recording too.
            threshold_classes: (N,) wrong class of each threshold sample, else below 0. It counts
                as given class. None: there are no threshold samples.
        """
        self.rows = np.asarray(rows, np.int64)
        self._place = np.full(int(self.rows.max(initial=-1)) + 1, -1, np.int64)
        self._place[self.rows] = np.arange(len(self.rows))
        self._threshold = None
        if threshold_classes is not None:
            self._threshold = to_device(np.array(threshold_classes, np.int64), device)
        self.device, n = device, len(self.rows)
        self._state = {
            "visits": torch.zeros(n, dtype=_INT, device=device),
            "margin": torch.zeros(n, device=device),
            "correct": torch.zeros(n, dtype=_INT, device=device),
            "forgetting": torch.zeros(n, dtype=_INT, device=device),
            "learned": torch.full((n,), -1, dtype=_INT, device=device),
            "was_right": torch.zeros(n, dtype=_INT, device=device),  # at the last visit
        }
        self._refined_class = refined_class(n, classes, device) if refined else None
        if self._refined_class is not None:
            self._state["given_probability"] = torch.zeros(n, device=device)
            self._state["disagreement"] = torch.zeros(n, dtype=_INT, device=device)
            self._state |= self._refined_class.state
        self._steps: list[_Step] = []
        self._epoch = 0
        self._shared = self._state["visits"].clone()  # visits that all processes have

    def update(
        self, rows: np.ndarray, logits: Tensor, labels: Tensor, targets: Targets, epoch: int
    ) -> None:
        """Record a step; nothing waits for the device.

        The tensors are kept as they are for a while, so they must not be changed afterwards.

        Args:
            rows: (B,) manifest rows. A row comes once an epoch at most.
            logits: (B, K), of any float type, without gradient.
            labels: (B,) given classes, int64.
            targets: (B, K), rows sum to one; looked at only where they are refined.
            epoch: from 0.
        """
        held = len(self._steps) * logits.numel()
        if epoch != self._epoch or len(self._steps) >= STEPS_AT_ONCE or held >= VALUES_AT_ONCE:
            self._count()
        self._epoch = epoch
        self._steps.append(_Step(rows, logits, labels, targets))

    def _count(self) -> None:
        """Count the steps noted so far, all of one epoch, so that no sample is among them twice."""
        steps, self._steps = self._steps, []
        if not steps:
            return
        at = self._index(np.concatenate([step.rows for step in steps]))
        labels = torch.cat([step.labels for step in steps])
        if self._threshold is not None:
            labels = torch.where(self._threshold[at] >= 0, self._threshold[at], labels)
        margin = _margin(torch.cat([step.logits for step in steps]).float(), labels)
        state, right = self._state, (margin > 0).to(_INT)
        state["visits"].index_add_(0, at, torch.ones_like(right))
        state["margin"].index_add_(0, at, margin)
        state["correct"].index_add_(0, at, right)
        state["forgetting"].index_add_(0, at, state["was_right"][at] * (1 - right))
        state["was_right"].index_copy_(0, at, right)
        learned = state["learned"][at]
        first = (learned < 0) & (right > 0)
        state["learned"].index_copy_(0, at, torch.where(first, self._epoch + 1, learned).to(_INT))
        if self._refined_class is not None:
            targets = concatenate([step.targets for step in steps])
            state["given_probability"].index_add_(0, at, probability_of(targets, labels))
            state["disagreement"].index_add_(0, at, (top_class(targets) != labels).to(_INT))
            self._refined_class.add(at, targets)

    def _index(self, rows: np.ndarray) -> Tensor:
        """Places of manifest rows in the accumulators."""
        return to_device(self._place[rows], self.device)

    def share(self, fabric: Fabric) -> None:
        """Exchange what all processes have counted; every process must call it.

        Call it at the end of every epoch, since the process that gets a sample in the next epoch
        needs to know whether it was classified correctly in this one. Between two calls only one
        process counts a sample, so all figures, floats too, are exactly those of that process.
        """
        self._count()
        if fabric.world_size == 1:
            return
        is_here = self._state["visits"] != self._shared  # (N,): counted by this process
        is_anywhere = _sum(fabric, is_here.to(_INT)) > 0
        for values in self._state.values():
            shape = (-1, *[1] * (values.ndim - 1))
            total = _sum(fabric, torch.where(is_here.view(shape), values, 0))
            # In place: `_refined_class` holds the same tensors.
            values.copy_(torch.where(is_anywhere.view(shape), total, values))
        self._shared = self._state["visits"].clone()

    def state(self) -> dict[str, Tensor]:
        """All that `restore` needs, on the CPU; with several processes, after `share`."""
        self._count()
        return {name: values.to(_CPU, copy=True) for name, values in self._state.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Resume from what `state` gave.

        Raises:
            KeyError: when something is missing from it.
            ValueError: when it is of other samples or classes.
        """
        self._steps = []
        for name, values in self._state.items():
            if state[name].shape != values.shape:
                raise ValueError(
                    f"dynamics of {tuple(state[name].shape)}, not {tuple(values.shape)}"
                )
            values.copy_(state[name])
        self._shared = self._state["visits"].clone()

    def measures(self) -> dict[str, np.ndarray]:
        """All measures, (N,) each, in the order of `rows`.

        Returns:
            `visits`: crops that training took of the sample, int32. `aum`: mean over the visits of
            the given class's logit less the largest other one, in logits; NaN without a visit.
            `correct`: share of visits with a margin above 0, so that a tie is wrong; NaN likewise.
            `forgetting`: how often a visit that was right was followed by one that was wrong; 0
            also for what was never right. `learned`: the first epoch, from 1, with a right visit;
            -1 never. `threshold_sample`, bool, where there are any: their other measures are of
            the wrong class.

            For refined labels also `given_probability`: mean probability that they give to the
            given class; `disagreement`: share of crops whose most probable class is another;
            `refined_class`, int64, and `refined_probability`: the class of largest mean
            probability, and that mean. For more than `MEAN_LIMIT` samples x classes these two are
            determined by vote, see `target_dynamics.TopVote`.
        """
        state = self.state()
        visits = torch.where(state["visits"] > 0, state["visits"], torch.nan)
        measures = {
            "visits": state["visits"],
            "aum": state["margin"] / visits,
            "correct": state["correct"] / visits,
            "forgetting": state["forgetting"],
            "learned": state["learned"],
        }
        if self._threshold is not None:
            measures["threshold_sample"] = (self._threshold >= 0).cpu()
        if self._refined_class is not None:
            top, probability = self._refined_class.result(visits.to(self.device))
            measures |= {
                "given_probability": state["given_probability"] / visits,
                "disagreement": state["disagreement"] / visits,
                "refined_class": top.cpu(),
                "refined_probability": probability.cpu(),
            }
        return {name: values.numpy() for name, values in measures.items()}


def label_agreement(measured: dict[str, np.ndarray], labels: np.ndarray) -> float | None:
    """Share of the crops whose refined label has the given class as the most probable one.

    Args:
        measured: of `Dynamics.measures`.
        labels: (N,) given classes of the same samples; -1: none was given.

    Returns:
        None where labels are not refined, or none was given.
    """
    if "disagreement" not in measured:
        return None
    other = measured.get("threshold_sample", np.zeros(len(labels), bool))  # of a wrong class
    visits = np.where((labels >= 0) & ~other, measured["visits"], 0)
    if not visits.any():
        return None
    return float(1 - np.nansum(visits * measured["disagreement"]) / visits.sum())


def _margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Logit of the given class less the largest other one, (B,)."""
    given = torch.arange(logits.shape[1], device=logits.device) == labels[:, None]
    other = logits.masked_fill(given, -torch.inf).amax(dim=1)
    return logits.gather(1, labels[:, None])[:, 0] - other


def _sum(fabric: Fabric, values: Tensor) -> Tensor:
    total = fabric.all_reduce(values, reduce_op="sum")
    assert isinstance(total, Tensor)
    return total
