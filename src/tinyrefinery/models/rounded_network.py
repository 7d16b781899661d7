"""A network whose layers compute with values rounded to 8 bits, as its int8 artifacts will.

The places are those of the converters: the weights of convolutions and linear layers, the image,
and the output of each operator, after the batch normalization and the activation that are merged
into it. Batch normalization keeps its statistics, and dropout is off.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from tinyrefinery.layers.binary import Quantized
from tinyrefinery.layers.rounding import RoundedActivations, RoundedWeights

_aten = torch.ops.aten
_WEIGHTED = {_aten.conv2d.default, _aten.linear.default}
"""Operators whose second input is weights."""
_NORM = _aten.batch_norm.default
_ACTIVATIONS = {
    *(_aten.relu.default, _aten.relu_.default, _aten.relu6.default, _aten.relu6_.default),
    *(_aten.hardtanh.default, _aten.hardtanh_.default),
    *(_aten.clamp.default, _aten.clamp_.default, _aten.clamp_min.default),
}
"""Converters merge these into the operator before them."""
_COMPUTING = {
    *(_aten.add.Tensor, _aten.add_.Tensor, _aten.sub.Tensor, _aten.mul.Tensor, _aten.mul_.Tensor),
    *(_aten.div.Tensor, _aten.cat.default, _aten.mean.dim, _aten.avg_pool2d.default),
    *(_aten.adaptive_avg_pool2d.default, _aten.sigmoid.default, _aten.sigmoid_.default),
    *(_aten.hardsigmoid.default, _aten.hardsigmoid_.default, _aten.hardswish.default),
    *(_aten.hardswish_.default, _aten.silu.default, _aten.silu_.default, _aten.gelu.default),
    *(
        _aten.tanh.default,
        _aten.leaky_relu.default,
        _aten.leaky_relu_.default,
        _aten.matmul.default,
    ),
}
"""Other operators whose outputs have values of their own. All others only move values."""


class RoundedNetwork(nn.Module):
    """Normalized images (B, C, h, w) -> logits (B, K), with all values in 8 bits.

    Its parameters are those of the network that it was made from.
    """

    def __init__(self, network: nn.Module, size: tuple[int, int], channels: int) -> None:
        """Trace a network.

        Args:
            network: in any mode; it is not changed.
            size: height and width of its images in pixels.
            channels: of its images.

        Raises:
            RuntimeError: if the network can't be traced for any number of images.
        """
        super().__init__()
        self.graph = _rounded(_trace(network, size, channels))

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, h, w) -> logits (B, K)."""
        return self.graph(images)

    def restore(self, network: nn.Module) -> nn.Module:
        """Give a network of the same architecture this one's weights, which are not rounded."""
        state = self.graph.state_dict()
        network.load_state_dict({name: state[name] for name in network.state_dict()})
        return network


def _trace(network: nn.Module, size: tuple[int, int], channels: int) -> GraphModule:
    """The operators of a network in evaluation mode, with its own parameters."""
    if any(isinstance(layer, Quantized) for layer in network.modules()):
        raise RuntimeError("its binary layers have values of their own, which 8 bits would replace")
    was_training = network.training
    first = next(network.parameters())
    # Two images: one would be taken for a fixed number.
    images = torch.zeros(2, channels, *size, device=first.device, dtype=first.dtype)
    try:
        program = torch.export.export(
            network.eval(), (images,), dynamic_shapes=({0: torch.export.Dim("batch")},)
        )
    except Exception as error:  # the exporter raises anything
        raise RuntimeError(
            (str(error).strip().splitlines() or [type(error).__name__])[0]
        ) from error
    finally:
        network.train(was_training)
    module = program.module()
    assert isinstance(module, GraphModule)
    # A new one: the exporter's refuses to be set to training mode.
    return GraphModule(module, module.graph)


def _rounded(module: GraphModule) -> GraphModule:
    """Put rounding behind each operator and before the weights, in place."""
    nodes = list(module.graph.nodes)
    for number, node in enumerate(n for n in nodes if n.target in _WEIGHTED):
        name = f"rounded_weights_{number}"
        module.add_submodule(name, RoundedWeights())
        with module.graph.inserting_before(node):
            weights = module.graph.call_module(name, (node.args[1],))
        node.args = (node.args[0], weights, *node.args[2:])
    for number, node in enumerate(dict.fromkeys(_outputs(nodes))):
        name = f"rounded_values_{number}"
        module.add_submodule(name, RoundedActivations())
        with module.graph.inserting_after(node):
            rounded = module.graph.call_module(name, (node,))
        node.replace_all_uses_with(
            rounded, delete_user_cb=lambda user, own=rounded: user is not own
        )
    module.recompile()
    return module


def _outputs(nodes: list[Node]) -> Iterator[Node]:
    """The nodes whose values are rounded."""
    merged: set[Node] = set()
    for node in nodes:
        known = node.target in _WEIGHTED | _ACTIVATIONS | _COMPUTING or node.target is _NORM
        if not (known or node.op == "placeholder") or node in merged:
            continue
        last = node
        while (after := _merged_into(last)) is not None:
            merged.add(after)
            last = after
        yield last


def _merged_into(node: Node) -> Node | None:
    """The operator behind a node that converters merge into it."""
    users = list(node.users)
    if len(users) != 1 or node.op == "placeholder":
        return None
    (user,) = users
    if node.target in _WEIGHTED and user.target is _NORM:
        return user
    return user if user.target in _ACTIVATIONS and node.target not in _ACTIVATIONS else None
