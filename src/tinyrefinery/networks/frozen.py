"""Networks from outside a recipe as refiners: frozen, and checked to label the data's classes."""

import torch

from tinyrefinery.builders.networks import FrozenNetwork
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import CheckpointError
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.timm_weights import OUTPUTS


def frozen_network(
    network: Network, dataset: Dataset, size: tuple[int, int] | None = None
) -> FrozenNetwork:
    """A network that labels a dataset's crops.

    Args:
        network: what `open_network` gave.
        dataset: whose classes and channels it must have. Of a timm model whose class names aren't
            known, only the number of classes is compared.
        size: height and width of the crops in pixels, for models that are built for one size;
            None: the size that the network was trained at.

    Raises:
        CheckpointError: when it is unreadable, or has other classes or channels.
    """
    info, classes = network.info, dataset.classes
    if network.kind == "timm":
        return _timm(network, dataset, size)
    remedy = "A refiner must have the same classes in the same order"
    if len(info.classes) != len(classes):
        raise CheckpointError(
            f"{network.file}: has {len(info.classes)} classes, but dataset '{dataset.name}' has "
            f"{len(classes)}. {remedy}"
        )
    for number, (theirs, ours) in enumerate(zip(info.classes, classes, strict=True)):
        if theirs != ours:
            raise CheckpointError(
                f"{network.file}: its class {number} is '{theirs}', but in dataset "
                f"'{dataset.name}' it is '{ours}'. {remedy}"
            )
    if info.channels != dataset.images.channels:
        raise CheckpointError(
            f"{network.file}: takes images of {info.channels} channels, but dataset "
            f"'{dataset.name}' has {dataset.images.channels}. "
            f"Set data.source.channels={info.channels}"
        )
    return FrozenNetwork(network.load(), info.mean, info.std, info.classes, info.size)


def _timm(network: Network, dataset: Dataset, size: tuple[int, int] | None) -> FrozenNetwork:
    """A pretrained model of timm that has as many outputs as the data has classes."""
    from tinyrefinery.models import create

    info, outputs = network.info, network.info.extra[OUTPUTS]
    if outputs != len(dataset.classes):
        raise CheckpointError(
            f"labels.by '{network.source}': is pretrained for {outputs} classes, but dataset "
            f"'{dataset.name}' has {len(dataset.classes)}. Fine-tune it in a stage of its own "
            f"(model: {{name: {network.source}, kwargs: {{pretrained: true}}}}) and let that stage "
            "refine"
        )
    with torch.random.fork_rng(devices=[]):
        net = create(
            network.source,
            outputs,
            size=size or info.size,
            channels=dataset.images.channels,
            pretrained=True,
        )
    return FrozenNetwork(net, info.mean, info.std, dataset.classes, size or info.size)
