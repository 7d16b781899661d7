"""Which weights are trained, at what rate and with what decay: groups for an optimizer.

Layer-wise rates as in BEiT (arXiv 2106.08254) and timm: a block at depth d of D learns at
`layer_decay ** (D - d)` times the rate.
"""

from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from tinyrefinery.errors import RecipeError, did_you_mean
from tinyrefinery.layers.binary import undecayed
from tinyrefinery.models.blocks import blocks, depths, parameters_in
from tinyrefinery.options.optimizers import Groups
from tinyrefinery.options.optimizers import Optimizer as Options


def build(
    part: Options,
    network: nn.Module,
    head: Collection[str] = (),
    beside: nn.Module | None = None,
) -> Optimizer:
    """The optimizer over the network's weights that are trained.

    Args:
        part: which optimizer, and its options.
        network: whose frozen parameters are left out.
        head: names of the last layer's tensors, which `layer_decay` counts from.
        beside: a module that is trained too, at the full rate, but does not belong to the network.
    """
    options = {key: value for key, value in part.options.items() if key not in Groups.model_fields}
    groups = parameter_groups(network, head, part)
    if beside is not None:
        groups += parameter_groups(beside, (), part.model_copy(update={"layer_decay": None}))
    return OPTIMIZERS[part.name](groups, **options)


def _rmsprop(parameters: Iterable[Any], *, form: str, **options: Any) -> Optimizer:
    if form == "pytorch":
        return torch.optim.RMSprop(parameters, **options)
    from timm.optim import RMSpropTF  # timm takes a second to import

    return RMSpropTF(parameters, **options)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    # fused: one kernel for all weights
    "sgd": partial(torch.optim.SGD, fused=True),
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True),
    "rmsprop": _rmsprop,
}


def parameter_groups(
    network: nn.Module, head: Collection[str], part: Groups
) -> list[dict[str, Any]]:
    """The parameters that are trained, in groups of one rate and one decay, the fastest first.

    Binary and ternary weights never decay (`layers.binary.undecayed`).

    Args:
        network: whose frozen parameters are left out.
        head: names of the last layer's tensors, which learn at the full rate.
        part: learning rate, decay, and which weights differ from them.
    """
    decay = part.layer_decay
    depth = depths(network, head) if decay is not None else {}
    deepest = max(depth.values(), default=0)
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    never = undecayed(network)
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        share = 1.0 if decay is None else decay ** (deepest - depth[name])
        is_vector = parameter.ndim <= 1 or name.endswith(".bias")
        decays = name not in never and (part.decay_norm_and_bias or not is_vector)
        settings = {"lr": part.lr * share, "weight_decay": part.weight_decay if decays else 0.0}
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
        depth = depths(network, head)
        names = frozenset(name for name, place in depth.items() if place < parts)
        wanted = f"freeze: {parts}: the network has {max(depth.values())} blocks before its head"
    else:
        names = frozenset().union(*(_parameters_of(network, part) for part in parts))
        wanted = f"freeze: {list(parts)}"
    if len(names) == len(list(network.parameters())):
        raise RecipeError(f"{wanted}; nothing would be left to train")
    return names


def _parameters_of(network: nn.Module, part: str) -> set[str]:
    """Names of a part's parameters."""
    names = parameters_in(network, part)
    if not names:
        known = [name for block in blocks(network) for name in block]
        tops = list(dict.fromkeys(name.split(".")[0] for name in known))
        raise RecipeError(
            f"freeze: no part '{part}' with weights.{did_you_mean(part, [*tops, *known])} "
            f"Blocks, from the first: {', '.join(known)}"
        )
    return names


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
    return [part for child in module.children() for part in _frozen_modules(child)]
