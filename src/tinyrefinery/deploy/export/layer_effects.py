"""What int8 does to each layer: its noise, and the predictions when only this layer is quantized.

For each layer a copy of the float graph is made in which only its weights and its output are
rounded to 8 bits, with the scales of the int8 artifact. ONNX Runtime runs it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from tinyrefinery.deploy.export.layer_causes import Cause, find_cause
from tinyrefinery.deploy.export.onnx_graph import INPUT, OUTPUT
from tinyrefinery.deploy.export.parity import divergence

ACTIVATIONS = ("Relu", "Clip", "HardSigmoid", "HardSwish")
"""Operators that belong to the layer before them: the output of both together is rounded."""
NOISE_IMAGES = 16
"""Images on which noise is measured: it needs the numbers of every layer."""
WEIGHTED = ("Conv", "Gemm", "MatMul")
"""Operators with weights."""


@dataclass(frozen=True)
class LayerEffect:
    """One layer, quantized by itself."""

    layer: str
    """Name of its weights in the network, or of its operator."""
    kind: str
    """ONNX operator."""
    snr: float
    """Signal to noise of its output, in decibels."""
    divergence: float
    """Mean Kullback-Leibler divergence of the predictions from the float network's, in nats."""
    agreement: float
    """Share of images with the same predicted class."""
    accuracy: float | None
    """Top-1 accuracy, 0 to 1; None without labels."""
    cause: Cause


@dataclass(frozen=True)
class Layer:
    """A layer of a graph, with the scales that it is quantized by."""

    name: str
    kind: str
    output: str
    """Tensor that is rounded."""
    scale: np.ndarray = field(repr=False)
    zero: np.ndarray = field(repr=False)
    weights: dict[str, np.ndarray] = field(repr=False)
    """Rounded weights by the name of their initializer."""


@dataclass(frozen=True)
class EffectImages:
    """Images on which layers are compared."""

    inputs: np.ndarray = field(repr=False)
    """(n, H, W, C) float32, what the graph takes."""
    labels: np.ndarray | None = field(repr=False)
    """(n,) classes; None: unknown."""


def layer_effects(
    prepared: Path,
    quantized: Path,
    images: EffectImages,
    *,
    report: Callable[[str], object] = lambda text: None,
) -> list[LayerEffect]:
    """Quantize each layer by itself, and compare with the float graph.

    Args:
        prepared: the float graph from which `quantized` was made.
        quantized: the int8 graph, whose scales are used.
        images: to compare on.
        report: called with progress messages.

    Returns:
        One entry per layer. The layer that changes the predictions most comes first.
    """
    model = onnx.load(prepared)
    layers = layers_of(model, onnx.load(quantized))
    expected = np.concatenate(list(_run(model, OUTPUT, images.inputs)))
    effects = []
    for number, layer in enumerate(layers, start=1):
        report(f"layer {number} of {len(layers)}: {layer.name}")
        effects.append(_effect(model, layer, images, expected))
    return sorted(effects, key=lambda effect: -effect.divergence)


def layers_of(model: Any, quantized: Any) -> list[Layer]:
    """The layers of a float graph whose outputs the int8 graph rounds, in their order."""
    values = {v.name: onnx.numpy_helper.to_array(v) for v in quantized.graph.initializer}
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    layers, seen = [], set()
    for node in model.graph.node:
        output = node.output[0]
        after = readers.get(output, [])
        if len(after) == 1 and after[0].op_type in ACTIVATIONS:
            output = after[0].output[0]
        scale = values.get(f"{output}_scale")
        if scale is None or output in seen or node.op_type in ("Transpose", "Reshape", "Flatten"):
            continue
        seen.add(output)
        weights = _rounded_weights(node, values) if node.op_type in WEIGHTED else {}
        name, zero = layer_name(node), values[f"{output}_zero_point"]
        layers.append(Layer(name, node.op_type, output, scale, zero, weights))
    return layers


def layer_name(node: Any) -> str:
    """Name of the weights of a node in the network; of the node itself if it has none."""
    name = node.input[1] if node.op_type in WEIGHTED else node.name
    return name.removesuffix(".weight").removeprefix("network.")


def _rounded_weights(node: Any, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights of a node as the int8 graph computes with them."""
    rounded = {}
    for name in node.input[1:2]:
        if f"{name}_quantized" not in values:
            continue
        steps, scale = values[f"{name}_quantized"].astype(np.float64), values[f"{name}_scale"]
        if scale.ndim:  # one scale per output channel: the axis of that length
            transposed = dict((a.name, a.i) for a in node.attribute).get("transB", 0)
            axis = 0 if node.op_type == "Conv" or transposed else steps.ndim - 1
            scale = scale.reshape([-1 if i == axis else 1 for i in range(steps.ndim)])
        rounded[name] = (steps * scale).astype(np.float32)  # int8 weights have no zero point
    return rounded


def quantize_alone(model: Any, layer: Layer) -> Any:
    """A copy of a float graph with one layer in 8 bits."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    for initializer in graph.initializer:
        if initializer.name in layer.weights:
            value = layer.weights[initializer.name]
            initializer.CopyFrom(onnx.numpy_helper.from_array(value, initializer.name))
    steps, rounded = f"{layer.output}_steps", f"{layer.output}_rounded"
    for node in graph.node:
        node.input[:] = [rounded if name == layer.output else name for name in node.input]
    for name, value in (("alone_scale", layer.scale), ("alone_zero", layer.zero)):
        graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    make, by = onnx.helper.make_node, ["alone_scale", "alone_zero"]
    place = next(i for i, node in enumerate(graph.node) if layer.output in node.output) + 1
    graph.node.insert(place, make("QuantizeLinear", [layer.output, *by], [steps], steps))
    graph.node.insert(place + 1, make("DequantizeLinear", [steps, *by], [rounded], rounded))
    return copy


def _effect(model: Any, layer: Layer, images: EffectImages, expected: np.ndarray) -> LayerEffect:
    alone = quantize_alone(model, layer)
    found = np.concatenate(list(_run(alone, OUTPUT, images.inputs)))
    few = images.inputs[:NOISE_IMAGES]
    exact = np.concatenate(list(_run(model, layer.output, few)))
    rounded = np.concatenate(list(_run(alone, f"{layer.output}_rounded", few)))
    labels = images.labels
    return LayerEffect(
        layer=layer.name,
        kind=layer.kind,
        snr=signal_to_noise(exact, rounded),
        divergence=divergence(expected, found),
        agreement=float((expected.argmax(1) == found.argmax(1)).mean()),
        accuracy=None if labels is None else float((found.argmax(1) == labels).mean()),
        cause=find_cause(exact, float(layer.scale), int(layer.zero), layer.zero.dtype),
    )


def _run(model: Any, output: str, inputs: np.ndarray) -> Iterator[np.ndarray]:
    """One output of a graph for each image."""
    import onnxruntime

    known = {value.name for value in model.graph.output}
    added = [] if output in known else [onnx.helper.make_empty_tensor_value_info(output)]
    model.graph.output.extend(added)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    # Without the optimizer: it would turn the layer into an integer kernel, or fuse it with others.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    content = model.SerializeToString()
    for _ in added:
        model.graph.output.pop()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    for image in inputs:
        yield np.asarray(session.run([output], {INPUT: image[None]})[0])


def signal_to_noise(exact: np.ndarray, rounded: np.ndarray) -> float:
    """Power of a signal relative to its error, in decibels; at most 200."""
    signal = float(np.square(exact, dtype=np.float64).sum())
    noise = float(np.square(exact.astype(np.float64) - rounded).sum())
    return 200.0 if noise <= signal * 1e-20 else float(10 * np.log10(max(signal, 1e-30) / noise))
