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
    from tinyrefinery.models import create

    weights, outputs = info.extra[WEIGHTS], len(info.classes) or info.extra[OUTPUTS]
    options: dict[str, Any] = {"checkpoint_path": str(weights)} if weights else {"pretrained": True}
    try:
        net = create(info.name, outputs, size=info.size, channels=info.channels, **options)
    except RefineryError as error:
        raise CheckpointError(_no_weights(info.name, error)) from error
    except Exception as error:  # the hub and the network below raise whatever they like
        raise CheckpointError(_no_weights(info.name, error)) from error
    return net.eval()


def _no_weights(name: str, error: Exception) -> str:
    return (
        f"{name}: can't be opened ({type(error).__name__}: {error}). Its weights come from "
        "the Hugging Face hub. Without a connection, download them once or name a file with "
        "--weights"
    )
