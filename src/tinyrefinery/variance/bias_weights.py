"""Weights of images by each interpretation of Bias Loss (arXiv 2107.11170, equations 3 and 6)."""

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
"""The paper's batch size on CIFAR-100. A crop's weight depends on the other crops in its batch."""


def bias_weights(
    network: nn.Module, view: View, rows: np.ndarray, *, batch: int = BATCH, workers: int = 0
) -> dict[str, np.ndarray]:
    """Compute the weights of images by each of `READINGS`, (N,) float64.

    The network runs in evaluation mode, without gradients, on crops of epoch 0. Batches are
    shuffled as in training, because the images of a folder are sorted by class, and a batch of one
    class has a different range of variances. An incomplete last batch is left out.

    Args:
        network: has `forward_features`, on the view's device.
        view: renders the images.
        rows: manifest rows.
        batch: images per batch.
        workers: threads that prepare the images.

    Raises:
        DataError: when there are fewer images than a batch.
    """
    whole = len(rows) // batch * batch
    if not whole:
        raise DataError(
            f"weights need at least one batch of {batch} images, but there are {len(rows)}"
        )
    losses = {name: BiasLoss(**part.options).to(view.device) for name, part in READINGS.items()}
    weights: dict[str, list[np.ndarray]] = {name: [] for name in losses}
    order = shuffled(rows, 0, 0)
    batches = [order[start : start + batch] for start in range(0, whole, batch)]
    with evaluation_mode(network), torch.inference_mode():
        for loaded in load(view, batches, 0, workers=workers):
            maps = network.forward_features(loaded.images)  # type: ignore[operator]
            for name, loss in losses.items():
                weights[name].append(loss.weights(maps).cpu().double().numpy())
    return {name: np.concatenate(parts) for name, parts in weights.items()}
