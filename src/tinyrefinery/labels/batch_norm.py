"""Whose statistics a refiner's batch normalization uses, and which crops share them.

The paper labels with the statistics of the batch at hand (arXiv 1805.02641, section 3), so a label
depends on the other crops of its batch. Hence batches are planned: each epoch's rows are shuffled
and cut into BN groups, and a group is always labeled whole. Groups sorted by class, or of crops of
one image, would ruin the labels (they change 60-88 % of the top-1 labels of a CIFAR-10 refiner). A
shuffle rules them out, and `check_mixed` makes sure.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tinyrefinery.data.batches import shuffled
from tinyrefinery.errors import DataError

SMALLEST_GROUP = 2
NO_ACCIDENT = 1e-9  # a group of one class that a shuffle gives less often than this was sorted


def use_batch_statistics(network: nn.Module) -> None:
    """Let batch normalization use the statistics of the batch, for good; dropout stays off.

    Dropping the running statistics is how PyTorch asks for that in `eval` mode.
    """
    for module in _norms(network):
        module.running_mean = module.running_var = module.num_batches_tracked = None


def recalibrate(network: nn.Module, batches: Iterable[Tensor], bf16: bool = False) -> None:
    """Estimate running statistics afresh, as the plain mean over `batches` of crops.

    With `bf16` the network computes as it will label: in bfloat16 where autocast finds it safe.
    """
    norms = list(_norms(network))
    for module in norms:
        module.reset_running_stats()
        module.momentum = None  # a cumulative average
        module.train()
    with torch.no_grad():
        for images in batches:
            with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
                network(images)
    for module in norms:
        module.eval()


def has_batch_norm(network: nn.Module) -> bool:
    """Whether `batch_norm: batch` makes any difference to this network."""
    return any(True for _ in _norms(network))


def _norms(network: nn.Module) -> Iterable[_BatchNorm]:
    return (module for module in network.modules() if isinstance(module, _BatchNorm))


class GroupPlan:
    """Which crops of an epoch are labeled together."""

    def __init__(
        self, rows: np.ndarray, *, group: int, seed: int, smallest: int = SMALLEST_GROUP
    ) -> None:
        """Plan for samples `rows` in groups of `group` crops.

        Raises:
            DataError: when a group would hold fewer than `smallest` crops.
        """
        self.rows, self.seed = rows, seed
        self.group = min(group, len(rows))
        if self.group < smallest:
            raise DataError(
                f"labels.bn_group: batch statistics need at least {smallest} crops, but the "
                f"group has {self.group}; use a larger group or batch_norm: running"
            )
        self._epoch = -1

    def groups(self, epoch: int) -> np.ndarray:
        """Rows of each group, (groups, group) int64.

        A ragged tail is filled up with rows from the head, which already belong to another group:
        only the first label of a row counts.
        """
        self._shuffle(epoch)
        count = -(-len(self._order) // self.group)
        return np.stack([self.rows_of(number, epoch) for number in range(count)])

    def rows_of(self, number: int, epoch: int) -> np.ndarray:
        """Rows of one group, (group,) int64."""
        self._shuffle(epoch)
        rows = self._order[number * self.group : (number + 1) * self.group]
        return np.concatenate([rows, self._order[: self.group - len(rows)]])

    def group_of(self, rows: np.ndarray, epoch: int) -> np.ndarray:
        """Number of the group that labels each row, (B,) int64."""
        self._shuffle(epoch)
        return self._position[rows] // self.group

    def is_whole(self, rows: np.ndarray, epoch: int) -> bool:
        """Whether `rows` are one or more whole groups, one after the other."""
        self._shuffle(epoch)
        start = self._position[rows[0]]
        if start % self.group or len(rows) % self.group:
            return False
        return np.array_equal(self._order[start : start + len(rows)], rows)

    def _shuffle(self, epoch: int) -> None:
        if epoch == self._epoch:
            return
        self._order = shuffled(self.rows, self.seed, epoch)
        self._position = np.full(int(self.rows.max()) + 1, -1)
        self._position[self._order] = np.arange(len(self._order))
        self._epoch = epoch


def check_mixed(rows: np.ndarray, labels: np.ndarray, shares: np.ndarray) -> None:
    """Refuse a BN group that can't give sound labels.

    Args:
        rows: the group's samples, (B,).
        labels: their given classes, (B,); below 0: none.
        shares: each class's share of the dataset, (K,).

    Raises:
        DataError: when crops of one image, or of one class, share the statistics.
    """
    if len(rows) > 1 and (rows == rows[0]).all():
        raise DataError(
            f"BN group: all {len(rows)} crops are of image row {rows[0]}; batch statistics of one "
            "image ruin its labels. Mix images, or use batch_norm: running"
        )
    if (
        labels[0] >= 0
        and (labels == labels[0]).all()
        and shares[labels[0]] ** len(rows) < NO_ACCIDENT
    ):
        raise DataError(
            f"BN group: all {len(rows)} crops are of class {labels[0]}; batch statistics of one "
            "class ruin the labels. Shuffle the rows, or use batch_norm: running"
        )
