"""A network of torch as the program of a packed one.

What follows a convolution becomes part of its step. A normalization before a sign becomes a bound
per channel, on the integer sum where a binary layer comes before it.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, fx, nn

from tinyrefinery.deploy.packing.lookup_entries import lookup_entries
from tinyrefinery.deploy.packing.program_builder import ProgramBuilder
from tinyrefinery.deploy.packing.thresholds import float_bounds, sum_bounds
from tinyrefinery.errors import DataError
from tinyrefinery.layers.binary import BinaryConv2d, BinaryLinear, Quantized, has_binary_layers
from tinyrefinery.layers.lookup import LookupConv2d, SparseConv2d
from tinyrefinery.layers.strided_pointwise import StridedPointwise
from tinyrefinery.packed.program import (
    BYTE,
    Op,
    Program,
    Step,
    Value,
    float_weights,
    packed_weights,
)

_SUM, _SCALED, _SLOPED, _GAINED, _ADDED, _RECTIFIED = range(6)
"""How far the result of a step is finished; see `Step`."""


@dataclass
class _Flow:
    """An image between two layers."""

    value: int
    step: int | None = None
    """The step that computes it and may be extended; None: nothing may follow there."""
    stage: int = _RECTIFIED
    affine: tuple[np.ndarray, np.ndarray] | None = None
    """Scale and shift (C,) float64 that are still to be applied."""


class UnpackableError(DataError):
    """A network that can't be packed; the message names the reason."""


def pack_network(
    network: nn.Module,
    size: tuple[int, int],
    channels: int,
    metadata: str = "",
    *,
    normalization: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Program:
    """The program of a network: images (H, W, C) to logits.

    Args:
        network: in evaluation mode; it is not changed. On the meta device its numbers count as 0:
            the program of a network without lookup layers then has the real sizes.
        size: height and width of its images in pixels.
        channels: of its images.
        metadata: JSON that describes it.
        normalization: mean and std, if the program is to normalize pixels from 0 to 255.

    Raises:
        UnpackableError: if it has neither binary nor lookup layers, or one that packed networks
            lack.
    """
    has_lookups = any(isinstance(layer, LookupConv2d | SparseConv2d) for layer in network.modules())
    if not has_lookups and not has_binary_layers(network):
        raise UnpackableError(
            "it has no layer with binary weights and binary inputs, and no lookup convolution"
        )
    try:
        with torch.enable_grad():  # without it, `layers.relu` asks for the type of its maps
            graph = _Tracer().trace(network)
    except Exception as error:  # what tracing raises depends on the network's code
        raise UnpackableError(f"its layers can't be listed ({error})") from error
    lowering = _Lowering(network, size, channels)
    if normalization is not None:
        mean, std = (np.asarray(values, np.float64) for values in normalization)
        lowering.affine = 1 / (255 * std), -mean / std
    return lowering.program(graph, metadata)


_WHOLE = (Quantized, LookupConv2d, SparseConv2d, StridedPointwise)
"""Layers of ours that become steps as they are."""


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _WHOLE) or super().is_leaf_module(m, module_qualified_name)


class _Lowering:
    """The program of one network, while it grows."""

    def __init__(self, network: nn.Module, size: tuple[int, int], channels: int) -> None:
        self.builder, self.network = ProgramBuilder(), network
        self.input = self.builder.value(Value(*size, channels))
        self.affine: tuple[np.ndarray, np.ndarray] | None = None
        """What is done with the pixels of an image first."""

    def program(self, graph: fx.Graph, metadata: str) -> Program:
        """The program of a traced graph, with the file's metadata.

        Raises:
            UnpackableError: if a node can't be packed, or the graph has no output.
        """
        flows: dict[fx.Node, _Flow] = {}
        for node in graph.nodes:
            if node.op == "output":
                last = self._computed(flows[node.args[0]])
                return self.builder.build(self.input, last.value, metadata)
            flow = self._flow(node, flows)
            # Others need it as it is, so nothing may be added to its step.
            flows[node] = replace(flow, step=None) if self._is_shared(node, flow) else flow
        raise UnpackableError("it has no output")

    def _is_shared(self, node: fx.Node, flow: _Flow) -> bool:
        if len(node.users) < 2:
            return False
        if flow.affine is not None:
            flow.__dict__.update(self._computed(flow).__dict__)
        return True

    def _flow(self, node: fx.Node, flows: dict[fx.Node, _Flow]) -> _Flow:
        if node.op == "placeholder":
            return _Flow(self.input, affine=self.affine)
        inputs = [flows[each] for each in node.args if isinstance(each, fx.Node)]
        if node.op == "call_module":
            layer = self.network.get_submodule(cast(str, node.target))
            make = next((make for kind, make in _LAYERS.items() if isinstance(layer, kind)), None)
            if make is None:
                kind = type(layer).__name__
                raise UnpackableError(f"packed networks have no layer {kind} ({node.target})")
            return make(self, layer, inputs[0])
        if node.target in (operator.add, torch.add) and len(inputs) == 2:
            return self._add(*inputs)
        if node.target in ("relu", torch.relu, nn.functional.relu):
            return self.relu(None, inputs[0])
        if node.target in ("flatten", torch.flatten):
            return inputs[0]
        raise UnpackableError(f"packed networks have no operation {node.target}")

    def image(self, flow: _Flow) -> Value:
        """Sizes of an image."""
        return self.builder.values[flow.value]

    def _computed(self, flow: _Flow) -> _Flow:
        """The same image with its affine function applied."""
        if flow.affine is None:
            return flow
        scale, shift = flow.affine
        if flow.step is not None and flow.stage <= _SCALED:
            arrays = self.builder.steps[flow.step].arrays
            first = np.asarray(arrays.get("scale", np.ones_like(scale)), np.float64)
            before = np.asarray(arrays.get("shift", np.zeros_like(shift)), np.float64)
            return self._extend(flow, _SCALED, scale=first * scale, shift=before * scale + shift)
        if flow.step is None or flow.stage > _SLOPED:
            flow = self._copied(flow)
        return self._extend(flow, _GAINED, gain=scale, offset=shift)

    def _copied(self, flow: _Flow) -> _Flow:
        """The same image in a step of its own, which may be extended."""
        value = self.builder.value(self.image(flow))
        return _Flow(value, self.builder.step(Step(Op.FINISH, flow.value, value)), _SUM)

    def _extend(self, flow: _Flow, stage: int, **arrays: np.ndarray) -> _Flow:
        assert flow.step is not None
        step = self.builder.steps[flow.step]
        added = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
        self.builder.steps[flow.step] = replace(step, arrays={**step.arrays, **added})
        return _Flow(flow.value, flow.step, stage)

    def _extendable(self, flow: _Flow, before: int) -> _Flow:
        """The image in a step that may still do what comes at stage `before`."""
        flow = self._computed(flow)
        return self._copied(flow) if flow.step is None or flow.stage >= before else flow

    def _add(self, one: _Flow, other: _Flow) -> _Flow:
        one, other = self._computed(one), self._computed(other)
        if self.image(one).shape != self.image(other).shape:
            raise UnpackableError("it adds images of different shapes")
        first, last = sorted((one, other), key=lambda flow: -1 if flow.step is None else flow.step)
        last = self._extendable(last, _ADDED)
        assert last.step is not None
        step = self.builder.steps[last.step]
        self.builder.steps[last.step] = replace(step, residual=first.value)
        return _Flow(last.value, last.step, _ADDED)

    def relu(self, _: nn.Module | None, flow: _Flow) -> _Flow:
        """Negative numbers become 0."""
        flow = self._extendable(flow, _RECTIFIED)
        assert flow.step is not None
        self.builder.steps[flow.step] = replace(self.builder.steps[flow.step], relu=True)
        return _Flow(flow.value, flow.step, _RECTIFIED)

    def prelu(self, layer: nn.PReLU, flow: _Flow) -> _Flow:
        """A slope per channel for negative numbers."""
        flow, channels = self._extendable(flow, _SLOPED), self.image(flow).channels
        slope = np.broadcast_to(_numbers(layer.weight), (channels,))
        return self._extend(flow, _SLOPED, slope=slope)

    def norm(self, layer: nn.BatchNorm2d | nn.BatchNorm1d, flow: _Flow) -> _Flow:
        """A normalization is applied by what follows it."""
        if layer.running_mean is None or layer.running_var is None:
            raise UnpackableError("a normalization has no statistics of its own")
        scale = 1 / np.sqrt(_numbers(layer.running_var) + layer.eps)
        if layer.affine:
            scale = scale * _numbers(layer.weight)
        shift = -_numbers(layer.running_mean) * scale
        if layer.affine:
            shift = shift + _numbers(layer.bias)
        if flow.affine is not None:
            flow = self._computed(flow)
        return replace(flow, affine=(scale, shift))

    def pool(self, layer: Any, flow: _Flow) -> _Flow:
        """Average or max pool."""
        flow = self._computed(flow)
        is_max = isinstance(layer, nn.MaxPool2d)
        kernel = _pair(layer.kernel_size)
        stride, padding = _side(layer.stride or kernel), _side(layer.padding)
        if layer.ceil_mode or (is_max and _side(layer.dilation) != 1) or (padding and not is_max):
            raise UnpackableError("a pool is dilated, rounds up, or averages padding")
        return self._window(Op.MAX if is_max else Op.AVERAGE, flow.value, kernel, stride, padding)

    def mean(self, layer: nn.AdaptiveAvgPool2d, flow: _Flow) -> _Flow:
        """Average pool to one pixel, or to as many as there are."""
        image, wanted = self.image(flow), _pair(cast(Any, layer.output_size))
        if wanted == (image.height, image.width):
            return flow
        if wanted != (1, 1):
            raise UnpackableError(f"adaptive pooling to {wanted[0]}x{wanted[1]} is not 1x1")
        flow = self._computed(flow)
        return self._window(Op.AVERAGE, flow.value, (image.height, image.width), 1, 0)

    def conv(self, layer: nn.Conv2d, flow: _Flow) -> _Flow:
        """A convolution of floats, or of bits."""
        if layer.groups != 1 or _side(layer.dilation) != 1 or layer.padding_mode != "zeros":
            raise UnpackableError("a convolution is grouped, dilated or not padded with zeros")
        if isinstance(layer.padding, str):
            raise UnpackableError(f"a convolution has padding '{layer.padding}'")
        sides = _side(layer.stride), _side(layer.padding)
        return self._convolve(layer, flow, lambda weights: weights, *sides)

    def linear(self, layer: nn.Linear, flow: _Flow) -> _Flow:
        """A linear layer is a convolution of the whole image."""
        image = self.image(flow)
        shape = (image.channels, image.height, image.width)
        return self._convolve(layer, flow, lambda weights: weights.reshape(-1, *shape), 1, 0)

    def _convolve(
        self,
        layer: nn.Conv2d | nn.Linear,
        flow: _Flow,
        shaped: Callable[[np.ndarray], np.ndarray],
        stride: int,
        padding: int,
    ) -> _Flow:
        levels, scale, bits = layer.weight, None, False
        if isinstance(layer, Quantized):
            levels, scale = layer.levels()
            bits = layer.activations == "binary"
            if bits and (not layer.is_binary or getattr(layer, "input_scale", False)):
                raise UnpackableError("binary inputs need binary weights, and no input_scale")
        weights = shaped(_numbers(levels))
        if scale is not None and not bits:
            weights, scale = weights * _numbers(scale)[:, None, None, None], None
        kernel = cast("tuple[int, int]", weights.shape[2:])
        source = self._signs(flow, padding) if bits else self._computed(flow).value
        arrays = {"weights": packed_weights(weights) if bits else float_weights(weights)}
        if scale is not None:
            arrays["scale"] = _numbers(scale).astype(np.float32)
        if layer.bias is not None:
            arrays["shift"] = _numbers(layer.bias).astype(np.float32)
        op = Op.BINARY if bits else Op.CONV
        return self._window(op, source, kernel, stride, padding, len(weights), arrays)

    def lookup(self, layer: LookupConv2d | SparseConv2d, flow: _Flow) -> _Flow:
        """A map of each word, then each filter's sum of their products."""
        form, words, arrays = lookup_entries(layer)
        if form.kernel**2 > BYTE or len(words) > BYTE**2:
            raise UnpackableError(
                f"a lookup convolution has {form.kernel**2} places and {len(words)} words, more "
                f"than {BYTE} or {BYTE**2}"
            )
        dictionary = {"weights": float_weights(words[:, :, None, None])}
        source = self._computed(flow).value
        maps = self._window(Op.CONV, source, (1, 1), 1, 0, len(words), dictionary)
        sides = (form.kernel, form.kernel), form.stride, form.padding
        return self._window(Op.LOOKUP, maps.value, *sides, form.width, arrays)

    def _window(
        self,
        op: Op,
        source: int,
        kernel: tuple[int, int],
        stride: int,
        padding: int,
        filters: int | None = None,
        arrays: dict[str, np.ndarray] | None = None,
    ) -> _Flow:
        image = self.builder.values[source]
        height, width = (
            (side + 2 * padding - k) // stride + 1
            for side, k in zip((image.height, image.width), kernel, strict=True)
        )
        value = self.builder.value(Value(height, width, filters or image.channels))
        step = Step(op, source, value, kernel, stride, padding, arrays=arrays or {})
        number = self.builder.step(step)
        # Nothing follows a pool in its own step.
        return _Flow(value, number, _SCALED) if filters else _Flow(value)

    def _signs(self, flow: _Flow, border: int) -> int:
        """The value of an image's bits."""
        image = self.image(flow)
        bits = replace(image, is_bits=True, border=border)
        step = None if flow.step is None else self.builder.steps[flow.step]
        if step is not None and step.op == Op.BINARY and flow.stage <= _SCALED:
            assert flow.step is not None
            self.builder.values[flow.value] = bits
            flips, bounds = sum_bounds(*_composed(step, flow.affine, image.channels))
            arrays = {"weights": step.arrays["weights"], "flips": flips, "bounds": bounds}
            self.builder.steps[flow.step] = replace(step, arrays=arrays)
            return flow.value
        value = self.builder.value(bits)
        arrays = {}
        if flow.affine is not None:
            flips, bounds = float_bounds(*flow.affine)
            arrays = {"flips": flips, "bounds": bounds}
        self.builder.step(Step(Op.SIGN, flow.value, value, arrays=arrays))
        return value


def _composed(
    step: Step, affine: tuple[np.ndarray, np.ndarray] | None, channels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift of the sums of a step, with the affine function behind them."""
    scale = np.asarray(step.arrays.get("scale", np.ones(channels)), np.float64)
    shift = np.asarray(step.arrays.get("shift", np.zeros(channels)), np.float64)
    if affine is None:
        return scale, shift
    return scale * affine[0], shift * affine[0] + affine[1]


def _numbers(tensor: Tensor) -> np.ndarray:
    if tensor.is_meta:
        return np.zeros(tensor.shape)
    return tensor.detach().double().cpu().numpy()


def _pair(sides: int | Sequence[int]) -> tuple[int, int]:
    return (sides, sides) if isinstance(sides, int) else (sides[0], sides[1])


def _side(sides: int | Sequence[int]) -> int:
    """The side of a square."""
    first, second = _pair(sides)
    if first != second:
        raise UnpackableError("a stride or a padding differs between height and width")
    return first


def _same(lowering: _Lowering, layer: nn.Module, flow: _Flow) -> _Flow:
    return flow


_LAYERS: dict[Any, Callable[..., _Flow]] = {
    (BinaryConv2d, nn.Conv2d): _Lowering.conv,
    (BinaryLinear, nn.Linear): _Lowering.linear,
    (LookupConv2d, SparseConv2d): _Lowering.lookup,
    (nn.BatchNorm1d, nn.BatchNorm2d): _Lowering.norm,
    (nn.MaxPool2d, nn.AvgPool2d): _Lowering.pool,
    nn.AdaptiveAvgPool2d: _Lowering.mean,
    nn.PReLU: _Lowering.prelu,
    nn.ReLU: _Lowering.relu,
    (nn.Flatten, nn.Dropout, nn.Identity): _same,
}
"""What each kind of layer becomes."""
