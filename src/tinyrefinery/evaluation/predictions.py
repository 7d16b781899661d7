"""Predictions: made once, sliced often. What a network says about each row of a view."""

from typing import TYPE_CHECKING

import numpy as np

from tinyrefinery.errors import DataError
from tinyrefinery.evaluation.prediction_table import Predictions

if TYPE_CHECKING:  # whoever only names `Predictions` from here must not pay for torch
    from torch import nn

    from tinyrefinery.data.batches import View

__all__ = ["Predictions", "predict"]


def predict(
    network: "nn.Module", view: "View", rows: np.ndarray, batch_size: int = 256, workers: int = 0
) -> Predictions:
    """Probabilities of a network for rows of a view, in the order given.

    The network is run in evaluation mode without gradients (dropout off, running statistics used
    and untouched) and left in the mode it came in, submodule by submodule. Softmax is float32
    whatever the network's precision. Crops are those of epoch 0, so a view that crops at random
    gives the same predictions every time.

    Args:
        network: images (B, C, h, w) -> logits (B, K), on the view's device.
        view: renders the images.
        rows: (N,) manifest row numbers; may be empty.
        batch_size: images a forward pass; changes memory and time only.
        workers: threads that prepare the images.

    Raises:
        DataError: when the network gives another number of classes than the data has, or NaN.
    """
    import torch

    from tinyrefinery.data.batches import load
    from tinyrefinery.layers.modes import evaluating

    manifest = view.dataset.manifest
    chunks = [np.empty((0, len(manifest.classes)), np.float32)]
    with evaluating(network), torch.inference_mode():
        for batch in load(view, _cut(rows, batch_size), 0, workers=workers):
            logits = network(batch.images)
            if logits.shape[1] != len(manifest.classes):
                raise DataError(
                    f"the network has {logits.shape[1]} classes but the data has "
                    f"{len(manifest.classes)}; give the network that many outputs"
                )
            chunks.append(logits.float().softmax(dim=1).cpu().numpy())
    return Predictions(
        ids=manifest.column("id")[rows],
        rows=np.asarray(rows, np.int64),
        labels=manifest.labels[rows],
        probabilities=np.concatenate(chunks),
        classes=tuple(manifest.classes),
    )


def _cut(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
