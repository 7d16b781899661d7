"""Which weights are trained, at what rate and with what decay: groups for an optimizer.

Layer-wise rates as in BEiT (arXiv 2106.08254) and timm: a block at depth d of D learns at
`layer_decay ** (D - d)` times the rate.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from tinyrefinery.errors import RecipeError
from tinyrefinery.models.blocks import blocks, depths, parameters_in
from tinyrefinery.names import did_you_mean


def parameter_groups(
    network: nn.Module,
    head: Collection[str],
    *,
    lr: float,
    weight_decay: float,
    layer_decay: float | None = None,
    decay_norm_and_bias: bool = True,
) -> list[dict[str, Any]]:
    """The parameters that are trained, in groups of one rate and one decay, the fastest first.

    Args:
        network: whose frozen parameters are left out.
        head: names of the last layer's tensors, which learn at `lr`.
        lr: learning rate.
        weight_decay: of the weights.
        layer_decay: each block's rate as a share of the next one's; None: the same for all.
        decay_norm_and_bias: whether biases and other vectors (of normalization) decay too.
    """
    deep = depths(network, head) if layer_decay is not None else {}
    deepest = max(deep.values(), default=0)
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        share = 1.0 if layer_decay is None else layer_decay ** (deepest - deep[name])
        decays = decay_norm_and_bias or not (parameter.ndim <= 1 or name.endswith(".bias"))
        settings = {"lr": lr * share, "weight_decay": weight_decay if decays else 0.0}
        groups.setdefault((share, decays), {"params": [], **settings})["params"].append(parameter)
    return [groups[key] for key in sorted(groups, reverse=True)]


def to_freeze(
    network: nn.Module, head: Collection[str], parts: int | Collection[str]
) -> frozenset[str]:
    """Names of the parameters in the first blocks, or in the parts of these names.

    Raises:
        RecipeError: when a part isn't there, or nothing would be left to train.
    """
    if isinstance(parts, int):
        deep = depths(network, head)
        found = frozenset(name for name, depth in deep.items() if depth < parts)
        left = f"freeze: {parts}: the network has {max(deep.values())} blocks before its head"
    else:
        found = frozenset().union(*(_known(network, part) for part in parts))
        left = f"freeze: {list(parts)}"
    if len(found) == len(list(network.parameters())):
        raise RecipeError(f"{left}; nothing would be left to train")
    return found


def _known(network: nn.Module, part: str) -> set[str]:
    found = parameters_in(network, part)
    if not found:
        known = [name for block in blocks(network) for name in block]
        tops = list(dict.fromkeys(name.split(".")[0] for name in known))
        raise RecipeError(
            f"freeze: no part '{part}' with weights.{did_you_mean(part, [*tops, *known])} "
            f"Blocks, from the first: {', '.join(known)}"
        )
    return found


def freeze(network: nn.Module, names: Collection[str]) -> list[nn.Module]:
    """Stop these parameters from being trained, in place.

    Returns:
        The largest modules of which everything is frozen. Kept in evaluation mode, they leave
        their running statistics as they are, and drop nothing out.
    """
    for name, parameter in network.named_parameters():
        if name in names:
            parameter.requires_grad_(False)
    return _frozen_modules(network)


def _frozen_modules(module: nn.Module) -> list[nn.Module]:
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        return [module]
    return [each for child in module.children() for each in _frozen_modules(child)]


def _rmsprop_tensorflow(parameters: Iterable[nn.Parameter], **settings: Any) -> Optimizer:
    from timm.optim import RMSpropTF  # timm takes a second to import

    return RMSpropTF(parameters, **settings)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "rmsprop_tensorflow": _rmsprop_tensorflow,
}


def create(
    name: str, parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]], **settings: object
) -> Optimizer:
    """An optimizer over `parameters`, or groups of them, with PyTorch's settings, e.g. `momentum`.

    Raises:
        RecipeError: when there is no optimizer of this name, or it refuses a setting.
    """
    if name not in OPTIMIZERS:
        raise RecipeError(f"optimizer: no '{name}' (known: {', '.join(OPTIMIZERS)})")
    try:
        fused = {} if name.startswith("rmsprop") else {"fused": True}  # one kernel for all weights
        return OPTIMIZERS[name](parameters, **(fused | settings))  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise RecipeError(f"optimizer '{name}': {error}") from error
