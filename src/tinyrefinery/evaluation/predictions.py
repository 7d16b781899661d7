"""Predict class probabilities for rows of a view. Needs torch once `predict` is called."""

from typing import TYPE_CHECKING

import numpy as np

from tinyrefinery.errors import DataError
from tinyrefinery.evaluation.prediction_table import Predictions

if TYPE_CHECKING:  # importing `Predictions` from here must not import torch
    from torch import nn

    from tinyrefinery.data.batches import View

__all__ = ["Predictions", "predict"]


def predict(
    network: "nn.Module", view: "View", rows: np.ndarray, batch_size: int = 256, workers: int = 0
) -> Predictions:
    """Run a network on rows of a view and return its probabilities, in the order of `rows`.

    The network runs in evaluation mode without gradients. Afterwards all modules are back in the
    modes that they had. Softmax is computed in float32 at any precision of the network. Uses the
    crops of epoch 0, so random crops give the same predictions every time.

    Args:
        network: images (B, C, h, w) -> logits (B, K), on the view's device.
        view: renders the images.
        rows: (N,) manifest row numbers; may be empty.
        batch_size: images per forward pass; affects memory and time only.
        workers: threads that load the images.

    Raises:
        DataError: if the network has another number of classes than the data, or predicts NaN.
    """
    import torch

    from tinyrefinery.data.batches import load
    from tinyrefinery.layers.modes import evaluation_mode

    manifest = view.dataset.manifest
    chunks = [np.empty((0, len(manifest.classes)), np.float32)]
    batches = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    with evaluation_mode(network), torch.inference_mode():
        for batch in load(view, batches, 0, workers=workers):
            logits = network(batch.images)  # (B, C, h, w) -> (B, K)
            if logits.shape[1] != len(manifest.classes):
                raise DataError(
                    f"the network has {logits.shape[1]} classes but the data has "
                    f"{len(manifest.classes)}. Use a network with {len(manifest.classes)} outputs."
                )
            chunks.append(logits.float().softmax(dim=1).cpu().numpy())
    return Predictions(
        ids=manifest.column("id")[rows],
        rows=np.asarray(rows, np.int64),
        labels=manifest.labels[rows],
        probabilities=np.concatenate(chunks),
        classes=tuple(manifest.classes),
    )
