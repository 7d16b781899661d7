"""What each reading of Bias Loss would weigh images by (arXiv 2107.11170, equations 3 and 6)."""

import numpy as np
import torch
from torch import nn

from tinyrefinery.data.batches import View, load, shuffled
from tinyrefinery.errors import DataError
from tinyrefinery.layers.modes import evaluation_mode
from tinyrefinery.losses.bias import BiasLoss
from tinyrefinery.options.losses import Bias

READINGS = {
    "paper": Bias(),
    "variances": Bias(scaling="variances"),
    "running_minimum": Bias(scaling="running_minimum", clamp=None),
    "checkpoints": Bias(scaling="running_minimum", formula="checkpoints", clamp=None),
}
"""Options of Bias Loss: the paper as printed; scaled by the batch's variances; the authors' code
since September 2022; that of the published checkpoints."""
BATCH = 128
"""The paper's batch on CIFAR-100: weights depend on whom a crop shares its batch with."""


def bias_weights(
    network: nn.Module, view: View, rows: np.ndarray, *, batch: int = BATCH, workers: int = 0
) -> dict[str, np.ndarray]:
    """The weights of images by each of `READINGS`, (N,) float64.

    The network runs in evaluation mode, without gradients, on crops of epoch 0, batch by batch in
    a shuffled order, as in training: a folder's images are sorted by class, and a batch of one
    class has other extremes. Images that fill no batch at the end are left out.

    Args:
        network: has `forward_features`; on the view's device.
        view: renders the images.
        rows: manifest rows.
        batch: images that are scaled together.
        workers: threads that prepare the images.

    Raises:
        DataError: when there are fewer images than a batch.
    """
    whole = len(rows) // batch * batch
    if not whole:
        raise DataError(f"weights are of batches of {batch} images, and there are {len(rows)}")
    losses = {name: BiasLoss(**part.options).to(view.device) for name, part in READINGS.items()}
    found: dict[str, list[np.ndarray]] = {name: [] for name in losses}
    order = shuffled(rows, 0, 0)
    cuts = [order[start : start + batch] for start in range(0, whole, batch)]
    with evaluation_mode(network), torch.inference_mode():
        for each in load(view, cuts, 0, workers=workers):
            maps = network.forward_features(each.images)  # type: ignore[operator]
            for name, loss in losses.items():
                found[name].append(loss.weights(maps).cpu().double().numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}
