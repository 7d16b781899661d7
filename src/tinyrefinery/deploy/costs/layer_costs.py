"""The layers of a PyTorch network: parameters, bytes at their own number of bits, and products."""

from dataclasses import dataclass

from torch import Tensor, nn

from tinyrefinery.evaluation.cost import kept_coefficients, macs_by_layer
from tinyrefinery.layers.binary import Quantized
from tinyrefinery.layers.lookup import LookupConv2d
from tinyrefinery.layers.modes import output_shapes
from tinyrefinery.packed.program import BYTE

_FLOAT = 4
"""Bytes of a float32 number."""


@dataclass(frozen=True)
class LayerCost:
    """One layer that has weights or products."""

    name: str
    kind: str
    """E.g. `Conv2d 3x3`; of other runtimes the operator."""
    output: tuple[int, ...]
    """Shape for one image, without the batch; () if it is not known."""
    parameters: int
    """Numbers that are trained; of other runtimes, constants."""
    bytes: int
    """Of its weights and running statistics, packed to the bits of their kind."""
    macs: int
    """Multiply-accumulates of numbers, for one image."""
    binary_macs: int
    """Products of bits: binary weights with binary inputs."""


def layer_costs(network: nn.Module, channels: int, size: tuple[int, int]) -> list[LayerCost]:
    """The layers of a network, in the order of definition.

    Tensors that several layers share count for the first.

    Args:
        network: images (B, C, H, W) -> (B, K); it is not changed.
        channels: of its images.
        size: height and width of its images in pixels.
    """
    products = macs_by_layer(network, channels, size)
    shapes = _output_shapes(network, channels, size)
    seen: set[int] = set()
    found = []
    for name, layer in network.named_modules():
        own = [p for p in layer.parameters(recurse=False) if id(p) not in seen]
        seen |= {id(p) for p in own}
        macs = products.get(name, 0)
        if not own and not macs:
            continue
        is_binary = isinstance(layer, Quantized) and layer.is_binary
        found.append(
            LayerCost(
                name=name or type(network).__name__,
                kind=_kind(layer),
                output=shapes.get(name, ()),
                parameters=sum(p.numel() for p in own),
                bytes=_bytes(layer, own),
                macs=0 if is_binary else macs,
                binary_macs=macs if is_binary else 0,
            )
        )
    return found


def _kind(layer: nn.Module) -> str:
    """Name of the class, size of the window, and the kind of weights that are not float."""
    kernel = getattr(layer, "kernel_size", None)
    if isinstance(layer, LookupConv2d):
        kernel = layer.coefficients.shape[2:]
    window = f" {'x'.join(map(str, kernel))}" if isinstance(kernel, tuple) else ""
    weights = ""
    if isinstance(layer, Quantized):
        is_mixed = (layer.weights, layer.activations) != ("binary", "binary")
        weights = f" {layer.weights}/{layer.activations}" if is_mixed else ""
    return f"{type(layer).__name__}{window}{weights}"


def _bytes(layer: nn.Module, parameters: list[nn.Parameter]) -> int:
    """Bytes of a layer's own parameters and running statistics."""
    numbers = sum(p.numel() for p in parameters)
    numbers += sum(b.numel() for b in layer.buffers(recurse=False) if b.is_floating_point())
    if isinstance(layer, Quantized) and layer.weights != "float":
        count, filters = layer.weight.numel(), len(layer.weight)
        # One float scale per filter.
        return _FLOAT * (numbers - count + filters) + -(-count * layer.weight_bits // 8)
    if isinstance(layer, LookupConv2d):
        kept, all_of_them = kept_coefficients(layer), layer.coefficients.numel()
        return _FLOAT * (numbers - all_of_them) + _lookup_bytes(layer, kept)
    return _FLOAT * numbers


def _lookup_bytes(layer: LookupConv2d, kept: int) -> int:
    """Bytes of sparse coefficients as packed files hold them: a float, a word and a place each.

    And where the entries of each filter start.
    """
    filters, words = layer.coefficients.shape[:2]
    return _FLOAT * (kept + filters + 1) + kept * (2 if words <= BYTE else 3)


def _output_shapes(
    network: nn.Module, channels: int, size: tuple[int, int]
) -> dict[str, tuple[int, ...]]:
    """Shape of each module's output for one image, by name."""
    shapes: dict[str, tuple[int, ...]] = {}
    handles = []
    for name, layer in network.named_modules():

        def note(_: nn.Module, inputs: object, output: object, name: str = name) -> None:
            if isinstance(output, Tensor):
                shapes[name] = tuple(output.shape[1:])

        handles.append(layer.register_forward_hook(note))
    try:
        output_shapes(network, (1, channels, *size))
    finally:
        for handle in handles:
            handle.remove()
    return shapes
