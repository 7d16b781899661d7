"""Layers that stay in float in an int8 artifact: those that lose most in 8 bits.

A layer's output is free of rounding only if what reads it computes in float too. So the layers
that read it stay in float with it, and their outputs are rounded again.
"""

from collections.abc import Sequence
from typing import Any

from tinyrefinery.deploy.export.layer_effects import ACTIVATIONS, WEIGHTED, LayerEffect, layer_name

_MOVING = ("Transpose", "Reshape", "Flatten", "MaxPool", "Pad", "Squeeze", "Unsqueeze")
"""Operators that only move values."""


def layers_that_lose_most(effects: Sequence[LayerEffect], count: int) -> tuple[str, ...]:
    """The layers with weights whose 8 bits change the predictions most.

    Args:
        effects: the most expensive layer first, from `layer_effects`.
        count: how many.
    """
    return tuple(e.layer for e in effects if e.kind in WEIGHTED)[:count]


def weight_nodes(model: Any, layers: Sequence[str]) -> list[str]:
    """Names of the operators of a float graph that hold the weights of these layers."""
    named = [node for node in model.graph.node if node.op_type in WEIGHTED]
    return [node.name for node in named if layer_name(node) in layers]


def float_nodes(model: Any, layers: Sequence[str]) -> list[str]:
    """Names of all operators of a float graph that compute in float with these layers."""
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    first = set(weight_nodes(model, layers))
    kept: dict[str, None] = {}
    for node in (node for node in model.graph.node if node.name in first):
        last = _with_activation(node, readers, kept)
        for reader in _computing(last, readers, kept):
            _with_activation(reader, readers, kept)
    return list(kept)


def _with_activation(node: Any, readers: dict[str, list[Any]], kept: dict[str, None]) -> Any:
    """Keep an operator and the activation behind it; the last of the two."""
    kept[node.name] = None
    after = readers.get(node.output[0], [])
    if len(after) != 1 or after[0].op_type not in ACTIVATIONS:
        return node
    kept[after[0].name] = None
    return after[0]


def _computing(node: Any, readers: dict[str, list[Any]], kept: dict[str, None]) -> list[Any]:
    """The operators that compute with the output of one, behind those that only move it."""
    found = []
    for reader in readers.get(node.output[0], []):
        if reader.op_type in _MOVING:
            kept[reader.name] = None
            found += _computing(reader, readers, kept)
        else:
            found.append(reader)
    return found
