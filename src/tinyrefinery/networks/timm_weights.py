"""Pretrained models of timm as networks: their facts, and their weights."""

from typing import TYPE_CHECKING, Any

from tinyrefinery.errors import CheckpointError, RefineryError, did_you_mean
from tinyrefinery.networks.facts import Facts

if TYPE_CHECKING:
    from torch import nn

    from tinyrefinery.models.network_file import NetworkInfo

WEIGHTS, OUTPUTS = "weights", "outputs"
"""Entries of `NetworkInfo.extra`: the file of weights, if any, and the number of outputs."""


def timm_facts(word: str, stated: Facts) -> "NetworkInfo":
    """The facts of `timm:NAME`; its weights are read when it is loaded.

    Its classes are those that are stated, else unknown, which is written as no classes.

    Raises:
        CheckpointError: when timm has no pretrained model of that name.
    """
    import timm
    from timm.data.config import resolve_data_config

    from tinyrefinery.models.network_file import NetworkInfo

    name = word.partition(":")[2]
    config = timm.get_pretrained_cfg(name)
    if config is None:
        known = timm.list_models(pretrained=stated.weights is None)
        raise CheckpointError(
            f"{word}: timm has no pretrained model of this name.{did_you_mean(name, known)}"
        )
    usual: dict[str, Any] = resolve_data_config(pretrained_cfg=config.to_dict())
    return NetworkInfo(
        name=word,
        kwargs={"pretrained": stated.weights is None},
        classes=stated.classes or (),
        size=stated.size or tuple(usual["input_size"][1:]),
        channels=int(usual["input_size"][0]),
        mean=stated.mean or tuple(usual["mean"]),
        std=stated.std or tuple(usual["std"]),
        extra={WEIGHTS: stated.weights, OUTPUTS: config.num_classes},
    )


def load_timm(info: "NetworkInfo") -> "nn.Module":
    """The model with its weights, from the Hugging Face hub or the file that was stated.

    Raises:
        CheckpointError: when they are not available, or don't fit.
    """
    import torch

    from tinyrefinery.models import create

    weights, outputs = info.extra[WEIGHTS], len(info.classes) or info.extra[OUTPUTS]
    options: dict[str, Any] = {"checkpoint_path": str(weights)} if weights else {"pretrained": True}
    try:
        with torch.random.fork_rng(devices=[]):  # weights that are drawn first leave no trace
            net = create(info.name, outputs, size=info.size, channels=info.channels, **options)
    except RefineryError as error:
        raise CheckpointError(_no_weights(info.name, error)) from error
    except Exception as error:  # the hub and the network below raise whatever they like
        raise CheckpointError(_no_weights(info.name, error)) from error
    return net.eval()


def timm_class_names(word: str, outputs: int) -> list[tuple[str, ...]]:
    """All names of each class of `timm:NAME`: wnid and nouns of ImageNet, else its number.

    Args:
        word: `timm:NAME`.
        outputs: number of its classes.
    """
    import timm
    from timm.data import ImageNetInfo, infer_imagenet_subset

    config = timm.get_pretrained_cfg(word.partition(":")[2])
    subset = infer_imagenet_subset(config.to_dict()) if config else None
    if subset is None:
        return [(str(number),) for number in range(outputs)]
    info = ImageNetInfo(subset)
    found = []
    for number in range(outputs):
        nouns = info.index_to_description(number).split(",")
        names = (info.index_to_label_name(number), *(noun.strip() for noun in nouns))
        found.append(tuple(dict.fromkeys(names)))
    return found


def _no_weights(name: str, error: Exception) -> str:
    return (
        f"{name}: can't be opened ({type(error).__name__}: {error}). Its weights come from "
        "the Hugging Face hub. Without a connection, download them once or name a file with "
        "--weights"
    )
