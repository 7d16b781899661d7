"""Data as a network takes it: its classes, crops of its size, its normalization."""

from dataclasses import replace
from typing import Any

import torch

from tinyrefinery import builders
from tinyrefinery.data.batches import View
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import CheckpointError
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.network_data import under_classes
from tinyrefinery.options.crops import Center
from tinyrefinery.options.engine import Engine
from tinyrefinery.recipe.schema import Recipe


def network_view(
    network: Network, dataset: Dataset, device: torch.device, recipe: Recipe | None = None
) -> View:
    """What a network takes of a dataset's images.

    Args:
        network: whose classes, size and normalization count.
        dataset: the images; its labels are renumbered to the network's classes.
        device: where the network is.
        recipe: says how evaluation crops are taken; None: that of the network's run; of a network
            without a run, the whole image at the network's size.

    Raises:
        CheckpointError: when the data has a class that the network doesn't know, or other channels.
    """
    info, recipe = network.info, recipe or network.recipe
    if info.channels != dataset.images.channels:
        raise CheckpointError(
            f"{network.name}: takes images of {info.channels} channels, but the data has "
            f"{dataset.images.channels}. Set data.source.channels={info.channels}"
        )
    crop = Center(size=info.size)
    if recipe is not None and info.size == recipe.data.train_crop.size:
        # The recipe's margin is for its own size. Other networks take the whole image.
        crop = recipe.data.eval_crop
    known = replace(dataset, manifest=under_classes(dataset.manifest, network), truth=None)
    return View(known, crop, 0, info.mean, info.std, device)


def opened(
    network: Network, dataset: Dataset, recipe: Recipe | None = None
) -> tuple[Any, View, int]:
    """The network on its device, its view of a dataset, and threads to prepare the images.

    Args:
        network: to load.
        dataset: to look at.
        recipe: whose engine and evaluation crops count; None: that of the network's run.
    """
    chosen = recipe or network.recipe
    engine = chosen.engine if chosen and network.is_torch else Engine()
    if not network.is_torch:
        engine = Engine(device="cpu")
    device = builders.fabric(engine).device
    view = network_view(network, dataset, device, chosen)
    workers = builders.workers(chosen, dataset) if chosen else 0
    return network.load().to(device), view, workers
