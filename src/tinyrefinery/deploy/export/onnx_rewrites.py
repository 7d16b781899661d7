"""Changes of ONNX graphs that leave what they compute as it is."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from tinyrefinery.deploy.export.onnx_graph import INPUT
from tinyrefinery.device.padding import is_same, is_same_if_wider

PIXEL = 255
"""The whitest."""


def take_pixels(model: Any) -> None:
    """Change the float input of a model to uint8, with a cast behind it."""
    graph = model.graph
    cast = f"{INPUT}_float"
    for node in graph.node:
        node.input[:] = [cast if name == INPUT else name for name in node.input]
    graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    node = onnx.helper.make_node("Cast", [INPUT], [cast], "cast_pixels", to=onnx.TensorProto.FLOAT)
    graph.node.insert(0, node)


def rewrite_hard_sigmoid(model: Any) -> None:
    """Replace each HardSigmoid by relu6(x + 3) / 6, which is the same.

    LiteRT for microcontrollers has no operator for it.
    """
    make = onnx.helper.make_node
    for node in _nodes(model, "HardSigmoid"):
        source, target = node.input[0], node.output[0]
        constants = {"three": 3.0, "zero": 0.0, "six": 6.0, "sixth": 1 / 6}
        for name, value in constants.items():
            _add_constant(model, f"{target}_{name}", np.asarray(value, np.float32))
        shifted, clipped = f"{target}_shifted", f"{target}_clipped"
        bounds = [f"{target}_zero", f"{target}_six"]
        _replace(
            model,
            node,
            make("Add", [source, f"{target}_three"], [shifted], shifted),
            make("Clip", [shifted, *bounds], [clipped], clipped),
            make("Mul", [clipped, f"{target}_sixth"], [target], f"{target}_scaled"),
        )


def rewrite_batch_norm(model: Any) -> None:
    """Replace each BatchNormalization by a multiplication and an addition per channel.

    The converter to LiteRT computes it inexactly: without this, DenseNet-121 fails the check.
    """
    values = {v.name: onnx.numpy_helper.to_array(v) for v in model.graph.initializer}
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes = {v.name: v for v in (*inferred.value_info, *inferred.output)}
    make = onnx.helper.make_node
    for node in _nodes(model, "BatchNormalization"):
        target = node.output[0]
        axes = len(shapes[target].type.tensor_type.shape.dim)  # 4 of maps, 2 behind a linear layer
        gamma, beta, mean, variance = (values[n].astype(np.float64) for n in node.input[1:5])
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        factor = gamma / np.sqrt(variance + epsilon)
        for name, value in (("factor", factor), ("shift", beta - mean * factor)):
            per_channel = value.astype(np.float32).reshape(1, -1, *[1] * (axes - 2))
            _add_constant(model, f"{target}_{name}", per_channel)
        scaled = f"{target}_scaled"
        _replace(
            model,
            node,
            make("Mul", [node.input[0], f"{target}_factor"], [scaled], scaled),
            make("Add", [scaled, f"{target}_shift"], [target], f"{target}_shifted"),
        )


def rewrite_global_mean(model: Any) -> None:
    """Replace each mean over height and width by a global average pooling, which is the same.

    The converter to LiteRT transposes the input of such a mean behind a ReLU6 and so leaves the
    ReLU6 in float, between a dequantization and a quantization.
    """
    values = {v.name: onnx.numpy_helper.to_array(v) for v in model.graph.initializer}
    make = onnx.helper.make_node
    for node in _nodes(model, "ReduceMean"):
        axes = values.get(node.input[1]) if len(node.input) > 1 else None
        if axes is None or sorted(map(int, axes)) != [2, 3]:  # negative ones may be of any rank
            continue
        source, target = node.input[0], node.output[0]
        if next((a.i for a in node.attribute if a.name == "keepdims"), 1):
            _replace(model, node, make("GlobalAveragePool", [source], [target], target))
            continue
        pooled = f"{target}_pooled"
        _replace(
            model,
            node,
            make("GlobalAveragePool", [source], [pooled], pooled),
            make("Flatten", [pooled], [target], f"{target}_flat", axis=1),
        )


def rewrite_max_pool_padding(model: Any) -> None:
    """Replace the padding of each max-pool by one with numbers that are there, which is the same.

    The converter to LiteRT pads with the least floating-point number. Quantized, the padded maps
    then have a range in which nothing else can be told apart. Behind a ReLU, zeros do. Elsewhere,
    the maps are reflected at their border: each window holds the reflected numbers anyway.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    make = onnx.helper.make_node
    for node in _nodes(model, "MaxPool"):
        facts = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        pads = list(facts.get("pads", ()))
        if not any(pads) or facts.get("auto_pad", b"NOTSET") != b"NOTSET":
            continue
        source, target = node.input[0], node.output[0]
        maker, after = makers.get(source), readers.get(target, [])
        positive = (maker is not None and maker.op_type == "Relu") or (
            bool(after) and all(reader.op_type == "Relu" for reader in after)
        )
        half = len(pads) // 2
        largest = [max(pads[i], pads[i + half]) for i in range(half)]
        if not positive and any(
            2 * pad + 1 > k for pad, k in zip(largest, facts["kernel_shape"], strict=True)
        ):
            continue
        padded, amounts = f"{target}_padded", f"{target}_pads"
        every = [0, 0, *pads[:half], 0, 0, *pads[half:]]  # of the axes of batch and channels too
        _add_constant(model, amounts, np.asarray(every, np.int64))
        pooled = make("MaxPool", [padded], [target], node.name)
        for name, value in facts.items():
            if name != "pads":
                pooled.attribute.append(onnx.helper.make_attribute(name, value))
        mode = "constant" if positive else "reflect"
        pad = make("Pad", [source, amounts], [padded], padded, mode=mode)
        _replace(model, node, pad, pooled)


def remove_normalization(model: Any) -> tuple[float, float] | None:
    """Leave out the operator that normalizes pixels, if one number and one shift do it.

    Returns:
        Both: normalized = pixel x number + shift. The graph then takes normalized images. None: the
        graph is as it was.
    """
    values = {v.name: v for v in model.graph.initializer}
    for node in _nodes(model, "Conv"):
        if not node.input[1].startswith("normalization.") or len(node.input) < 3:
            continue
        scales, shifts = (
            onnx.numpy_helper.to_array(values[name]).astype(np.float64).ravel()
            for name in node.input[1:3]
        )
        zero = round(float(-shifts[0] / scales[0])) if scales[0] > 0 else -1
        if np.ptp(scales) or np.ptp(shifts) or not 0 <= zero <= PIXEL:
            return None
        for reader in model.graph.node:
            reader.input[:] = [
                node.input[0] if name == node.output[0] else name for name in reader.input
            ]
        model.graph.node.remove(node)
        return float(scales[0]), float(shifts[0])
    return None


def widen_kernels(model: Any) -> None:
    """Give kernels a row and a column of zeros where LiteRT can then pad inside of the convolution.

    Its scheme pads at most one pixel more below and to the right than above and to the left. Where
    PyTorch pads as much on all sides and leaves the last out, the converter would copy the map.
    """
    shapes = {v.name: v for v in onnx.shape_inference.infer_shapes(model).graph.value_info}
    values = {v.name: v for v in model.graph.initializer}
    for node in _nodes(model, "Conv"):
        facts = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        pads, source = list(facts.get("pads", ())), shapes.get(node.input[0])
        if len(pads) != 4 or pads[:2] != pads[2:] or not any(pads) or source is None:
            continue
        size = [side.dim_value for side in source.type.tensor_type.shape.dim[2:]]
        weights = onnx.numpy_helper.to_array(values[node.input[1]])
        ones = [1, 1]
        window = (size, weights.shape[2:], facts.get("strides", ones), pads[:2])
        dilation = facts.get("dilations", ones)
        if is_same(*window, dilation) or not is_same_if_wider(*window, dilation):
            continue
        wider = np.pad(weights, ((0, 0), (0, 0), (0, 1), (0, 1)))
        name = f"{node.input[1]}_wide"
        _add_constant(model, name, wider)
        node.input[1] = name
        facts |= {"kernel_shape": wider.shape[2:], "auto_pad": "SAME_UPPER"}
        del facts["pads"], node.attribute[:]
        node.attribute.extend(onnx.helper.make_attribute(*pair) for pair in facts.items())


def remove_notes(model: Any) -> None:
    """Remove the exporter's notes, which name files of the machine that exported."""
    for part in (*model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    for part in (*model.graph.initializer, *model.graph.value_info):
        del part.metadata_props[:]
    del model.graph.metadata_props[:]
    model.graph.doc_string = model.doc_string = ""


def _nodes(model: Any, kind: str) -> list[Any]:
    return [node for node in model.graph.node if node.op_type == kind]


def _add_constant(model: Any, name: str, value: np.ndarray) -> None:
    model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))


def _replace(model: Any, node: Any, *steps: Any) -> None:
    """Put nodes in the place of one."""
    place = list(model.graph.node).index(node)
    model.graph.node.remove(node)
    for offset, step in enumerate(steps):
        model.graph.node.insert(place + offset, step)


def put_metadata(model: Any, entries: Mapping[str, str]) -> None:
    """Write entries into the metadata of a model."""
    for key, value in sorted(entries.items()):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
