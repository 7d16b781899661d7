"""The parts of any network: its head, its blocks, and how deep each parameter lies.

Nothing is asked of an architecture: the head is found by its shape, the blocks by how modules
contain one another. One whose modules aren't defined in the order in which an image passes them
tells its blocks itself, by a method `block_names`.
"""

from collections.abc import Callable, Collection, Iterator
from typing import cast

from torch import nn

from tinyrefinery.models.timm_network import TimmNetwork


def head_of(build: Callable[[int], nn.Module], classes: int) -> frozenset[str]:
    """Names of the tensors whose shape follows the number of classes: the last layer's.

    Args:
        build: makes the network for so many classes, best on the meta device.
        classes: K.
    """
    one, other = (build(count).state_dict() for count in (classes, classes + 1))
    return frozenset(name for name in one if one[name].shape != other[name].shape)


def depths(network: nn.Module, head: Collection[str]) -> dict[str, int]:
    """Depth of each parameter by its name: the number of its block, the head's the largest.

    The blocks of timm's models are those that timm groups them by; of all others, `blocks`.
    """
    if isinstance(network, TimmNetwork) and hasattr(network.network, "group_matcher"):
        return _of_timm(network)
    found = {
        name: depth
        for depth, prefixes in enumerate(blocks(network))
        for name, _ in network.named_parameters()
        if name not in head and _inside(name, prefixes)
    }
    last = 1 + max(found.values(), default=-1)
    return {name: found.get(name, last) for name, _ in network.named_parameters()}


def blocks(network: nn.Module) -> list[tuple[str, ...]]:
    """Names of the modules that make up each block, in the order in which they are defined.

    The parts of a network are its direct children that have weights, or what they hold where they
    are rows of blocks (an `nn.Sequential` or `nn.ModuleList` with more than bare layers in it).
    Each part is a block; bare layers that follow one another (a convolution and its normalization)
    are one block together. A network that only wraps another is looked into.
    """
    if (told := getattr(network, "block_names", None)) is not None:
        return [(name,) for name in told()]
    root, inner = "", network
    while len(parts := list(_with_weights(inner))) == 1 and list(parts[0][1].children()):
        root, inner = f"{root}{parts[0][0]}.", parts[0][1]
    found: list[tuple[str, ...]] = []
    after_layer = False
    for name, part in (each for pair in parts for each in _opened(*pair)):
        is_layer = not list(part.children())
        if is_layer and after_layer:
            found[-1] = (*found[-1], root + name)
        else:
            found.append((root + name,))
        after_layer = is_layer
    return found


def named(network: nn.Module, name: str) -> set[str]:
    """Names of the parameters in the part of this name, e.g. `stem` or `blocks.0`; none: empty.

    A network that only wraps another has the other's names too.
    """
    roots = ("", "network.") if isinstance(network, TimmNetwork) else ("",)
    return {
        parameter
        for parameter, _ in network.named_parameters()
        if _inside(parameter, tuple(root + name for root in roots))
    }


def _of_timm(network: TimmNetwork) -> dict[str, int]:
    from timm.models import group_parameters

    matcher = network.network.group_matcher(coarse=False)  # type: ignore[operator]
    grouped = cast(dict[str, int], group_parameters(network.network, matcher, reverse=True))
    return {f"network.{name}": depth for name, depth in grouped.items()}


def _with_weights(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if any(True for _ in child.parameters()):
            yield name, child


def _opened(name: str, part: nn.Module) -> list[tuple[str, nn.Module]]:
    """What a row of blocks holds; a block, or a bare layer, itself."""
    inside = list(_with_weights(part))
    row = isinstance(part, nn.Sequential | nn.ModuleList)
    if not row or not any(list(child.children()) for _, child in inside):
        return [(name, part)]
    return [(f"{name}.{each}", child) for each, child in inside]


def _inside(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)
