"""How good a label policy's targets are, on training crops whose truth is known."""

import numpy as np

from tinyrefinery.data.batches import View, shuffled, split_batches
from tinyrefinery.evaluation.label_quality import label_quality
from tinyrefinery.labels.policy import LabelPolicy
from tinyrefinery.losses.targets import SparseTargets


def policy_quality(
    policy: LabelPolicy,
    view: View,
    rows: np.ndarray,
    *,
    batch_size: int,
    crops: int = 4096,
    epoch: int = 0,
) -> dict[str, float | int]:
    """`label_quality` of the targets that training sees in its first batches of an epoch.

    Args:
        policy: what labels.
        view: the training crops.
        rows: the training samples.
        batch_size: as in training, so that BN groups are the same.
        crops: how many crops to look at, at most.
        epoch: which epoch's crops.

    Returns:
        See `label_quality`; empty where the crops' truth is not known.
    """
    if view.dataset.truth is None:
        return {}
    labels, truth = [], []
    for batch_rows in split_batches(shuffled(rows, view.seed, epoch), batch_size, drop_last=True):
        targets = policy(view.render(batch_rows, epoch))
        whole = targets.dense() if isinstance(targets, SparseTargets) else targets
        labels.append(whole.cpu().numpy())
        truth.append(view.truth(batch_rows, epoch))
        if sum(map(len, labels)) >= crops:
            break
    return label_quality(np.concatenate(labels), np.concatenate(truth))
