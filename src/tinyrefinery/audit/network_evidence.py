"""What networks predict for a dataset, as evidence for an audit."""

from dataclasses import replace

import numpy as np
import torch

from tinyrefinery.audit.evidence import Evidence
from tinyrefinery.audit.unrecognizable import Hardness, hardness
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import CheckpointError
from tinyrefinery.evaluation.predictions import predict
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.networks.held_out import held_out
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.network_data import rows_in
from tinyrefinery.networks.network_view import network_view, opened
from tinyrefinery.options.labels import Refining


def predictions_as_evidence(network: Network, dataset: Dataset) -> Evidence:
    """Predictions of a network for the test images, else for those of validation or training.

    Images that the network was trained or chosen on are not among the test images.

    Raises:
        CheckpointError: when it takes images of other channels, or has other classes.
    """
    held = held_out(dataset.manifest, [network], own=True, fixed=True)
    net, view, workers = opened(network, replace(dataset, manifest=held.manifest))
    splits = rows_in(view.dataset.manifest, ["test", "validation", "train"])
    split, rows = next(iter(splits.items()))
    return Evidence(f"{network.name} on {split}", predict(net, view, rows, workers=workers))


def hardness_of(network: Network, dataset: Dataset, size: tuple[int, int]) -> Hardness:
    """What a refiner predicts for all images, at its own size and reduced to `size`.

    Raises:
        CheckpointError: when it can't be read, takes images no larger than `size`, or has other
            classes.
    """
    info = network.info
    if info.classes != dataset.classes:
        raise CheckpointError(
            f"{network.name}: has the classes {list(info.classes)[:5]}, but the data has "
            f"{list(dataset.classes)[:5]}"
        )
    if min(info.size) <= min(size):
        raise CheckpointError(
            f"{network.name}: takes images of {info.size[0]}x{info.size[1]} pixels, which is no "
            f"more than the input size {size[0]}x{size[1]}. Give a refiner with a larger input"
        )
    view = network_view(network, dataset, torch.device("cpu"))
    refiner = Refiner([network.load()], Refining(batch_norm="running"))
    return hardness(refiner, view, np.arange(len(dataset.manifest)), size)
