"""Head, blocks and parameter depths of any network.

Architectures need no support for this. The head is found by its shape, blocks by how modules are
nested. A network whose modules are not defined in forward order has a method `block_names`, which
lists its blocks.
"""

from collections.abc import Callable, Collection, Iterator
from typing import cast

from torch import nn

from tinyrefinery.models.timm_network import TimmNetwork


def head_of(build: Callable[[int], nn.Module], classes: int) -> frozenset[str]:
    """Names of the last layer's tensors: those whose shape depends on the number of classes.

    Args:
        build: builds the network for a number of classes, ideally on the meta device.
        classes: K.
    """
    a, b = (build(count).state_dict() for count in (classes, classes + 1))
    return frozenset(name for name in a if a[name].shape != b[name].shape)


def depths(network: nn.Module, head: Collection[str]) -> dict[str, int]:
    """Depth of each parameter by name: the number of its block. The head is deepest.

    For timm's models, blocks are timm's own groups. For all others they are `blocks`.
    """
    if isinstance(network, TimmNetwork) and hasattr(network.network, "group_matcher"):
        return _timm_depths(network)
    block_numbers = {
        name: number
        for number, prefixes in enumerate(blocks(network))
        for name, _ in network.named_parameters()
        if name not in head and _inside(name, prefixes)
    }
    last = 1 + max(block_numbers.values(), default=-1)
    return {name: block_numbers.get(name, last) for name, _ in network.named_parameters()}


def blocks(network: nn.Module) -> list[tuple[str, ...]]:
    """Names of the modules that make up each block, in the order of definition.

    The blocks are the network's direct children that have weights. A child that is a sequence of
    blocks (an `nn.Sequential` or `nn.ModuleList` that holds more than bare layers) is replaced by
    its children. Consecutive bare layers, such as a convolution and its normalization, are one
    block. A module that only wraps another one is skipped.
    """
    if (block_names := getattr(network, "block_names", None)) is not None:
        return [(name,) for name in block_names()]
    root, inner = "", network
    while len(children := list(_with_weights(inner))) == 1 and list(children[0][1].children()):
        root, inner = f"{root}{children[0][0]}.", children[0][1]
    result: list[tuple[str, ...]] = []
    after_layer = False
    for name, module in (pair for child in children for pair in _flatten(*child)):
        is_layer = not list(module.children())
        if is_layer and after_layer:
            result[-1] = (*result[-1], root + name)
        else:
            result.append((root + name,))
        after_layer = is_layer
    return result


def parameters_in(network: nn.Module, name: str) -> set[str]:
    """Names of the parameters in the module of this name, e.g. `stem` or `blocks.0`.

    Empty if there is no such module. For timm's models, timm's own names work too.
    """
    roots = ("", "network.") if isinstance(network, TimmNetwork) else ("",)
    return {
        parameter
        for parameter, _ in network.named_parameters()
        if _inside(parameter, tuple(root + name for root in roots))
    }


def _timm_depths(network: TimmNetwork) -> dict[str, int]:
    from timm.models import group_parameters

    matcher = network.network.group_matcher(coarse=False)  # type: ignore[operator]
    groups = cast(dict[str, int], group_parameters(network.network, matcher, reverse=True))
    return {f"network.{name}": depth for name, depth in groups.items()}


def _with_weights(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if any(True for _ in child.parameters()):
            yield name, child


def _flatten(name: str, module: nn.Module) -> list[tuple[str, nn.Module]]:
    """The children of a sequence of blocks. A block or a bare layer is returned unchanged."""
    children = list(_with_weights(module))
    is_sequence = isinstance(module, nn.Sequential | nn.ModuleList)
    if not is_sequence or not any(list(child.children()) for _, child in children):
        return [(name, module)]
    return [(f"{name}.{child_name}", child) for child_name, child in children]


def _inside(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)
