"""Quality of a label policy's targets, on training crops with known true labels."""

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
    """`label_quality` of the training targets in the first batches of an epoch.

    Args:
        policy: makes the targets.
        view: the training crops.
        rows: the training samples.
        batch_size: as in training, so that BN groups are the same.
        crops: number of crops to label: whole batches until it is reached.
        epoch: selects the crops.

    Returns:
        See `label_quality`; empty if the true crop labels are unknown.
    """
    if view.dataset.truth is None:
        return {}
    labels, truth = [], []
    for batch_rows in split_batches(shuffled(rows, view.seed, epoch), batch_size, drop_last=True):
        targets = policy(view.render(batch_rows, epoch))
        dense = targets.dense() if isinstance(targets, SparseTargets) else targets  # (B, K)
        labels.append(dense.cpu().numpy())
        truth.append(view.truth(batch_rows, epoch))
        if sum(map(len, labels)) >= crops:
            break
    return label_quality(np.concatenate(labels), np.concatenate(truth))
