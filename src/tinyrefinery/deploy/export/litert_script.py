"""Convert and quantize to LiteRT. Runs in the tool environment, outside this package.

    python litert_script.py request.json

The request names the float ONNX graph, the folder to write to, and for each artifact its file,
metadata, and whether it takes pixels. int8 artifacts also name the calibration images, the
share of values to clip and the operators that stay in float or take 16 bits. Prints nothing of its
own: the caller keeps the tools' prints in a log.
"""

# The packages below are in the tool environment only.
# pyright: reportMissingImports=false, reportMissingModuleSource=false

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

IDENTIFIER = b"TFL3"
ENTRY, INPUT = "tinyrefinery", "image"
PLACES = "OfflineMemoryAllocation"
"""Metadata of LiteRT for Microcontrollers, whose content the caller writes."""
SAMPLE = 1000
"""Values of a tensor that are kept per image, to find percentiles."""
MOVING = ("PAD", "PADV2", "RESHAPE", "TRANSPOSE", "MAX_POOL_2D", "SQUEEZE")
"""Operators that only move values."""
BINS = 2048
"""Of the histogram that entropy calibration compares."""


def main(request_file: str) -> None:
    """Write every artifact that the request lists."""
    request = json.loads(Path(request_file).read_text("utf-8"))
    folder = Path(request["folder"])
    float_file = convert(request["graph"], folder)
    statistics = {}
    for artifact in request["artifacts"]:
        content = float_file.read_bytes()
        if artifact["int8"]:
            images = np.load(request["images"], mmap_mode="r")
            if not statistics:
                statistics = measure_ranges(float_file, images)
            ranges = ranges_of(statistics, artifact, pixel_range(request["scale"]))
            kept = [kept_scopes(content, artifact[kind]) for kind in ("floats", "int16")]
            content = quantize(float_file, ranges, images[:1], *kept)
        content = finish(content, artifact, request)
        Path(artifact["file"]).write_bytes(content)


def convert(graph: str, folder: Path) -> Path:
    """The float LiteRT file of an ONNX graph."""
    import onnx2tf

    onnx2tf.convert(
        input_onnx_file_path=graph,
        output_folder_path=str(folder),
        copy_onnx_input_output_names_to_tflite=True,
        keep_nwc_or_nhwc_or_ndhwc_input_names=[INPUT],
        non_verbose=True,
    )
    file = next(folder.glob("*_float32.tflite"))
    put_in_order(file)
    return file


def put_in_order(file: Path) -> None:
    """Put the channels last where the converter left them first."""
    import litert_layout
    from ai_edge_litert import schema_py_generated

    schema: Any = schema_py_generated
    content = file.read_bytes()
    model = opened(content, schema)
    if litert_layout.put_channels_last(model, schema):
        file.write_bytes(packed(model, len(content)))


def measure_ranges(file: Path, images: np.ndarray) -> dict:
    """The extremes of each float tensor over all images, and a sample of its values."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(
        model_path=str(file), experimental_preserve_all_tensors=True, num_threads=1
    )
    interpreter.allocate_tensors()
    index = interpreter.get_input_details()[0]["index"]
    floats = [
        detail
        for detail in interpreter.get_tensor_details()
        if detail["dtype"] is np.float32 and detail["name"]
    ]
    draws = np.random.default_rng(0)
    lows, highs, samples = ({d["name"]: [] for d in floats} for _ in range(3))
    for image in images:
        interpreter.set_tensor(index, image[None])
        interpreter.invoke()
        for detail in floats:
            try:
                values = interpreter.get_tensor(detail["index"]).ravel()
            except ValueError:  # a tensor of the delegate, without data
                continue
            if values.size:
                lows[detail["name"]].append(values.min())
                highs[detail["name"]].append(values.max())
                samples[detail["name"]].append(draws.choice(values, min(values.size, SAMPLE)))
    return {
        name: {"min": min(lows[name]), "max": max(highs[name]), "sample": np.concatenate(sample)}
        for name, sample in samples.items()
        if sample
    }


def pixel_range(scale: list | None) -> tuple[float, float]:
    """What the pixels 0 and 255 stand for, so that the steps between are the pixels.

    Where the input is normalized by its scale, some pixel stands for 0: the nearest to the mean.
    """
    if scale is None:
        return 0.0, 255.0
    factor, zero = scale[0], zero_pixel(scale)
    return -zero * factor, (255 - zero) * factor


def zero_pixel(scale: list) -> int:
    """The pixel that stands for 0, of `normalized = pixel x factor + shift`."""
    factor, shift = scale
    return round(-shift / factor)


def ranges_of(statistics: dict, artifact: dict, pixels: tuple[float, float]) -> dict:
    """Smallest and largest value of each tensor that int8 covers. It always covers 0."""
    ranges = {}
    for name, values in statistics.items():
        low, high = float(values["min"]), float(values["max"])
        if artifact["method"] == "entropy":
            limit = entropy_limit(values["sample"])
            low, high = max(low, -limit), min(high, limit)
        elif artifact["method"] != "minmax":
            tail = (100 - float(artifact["method"].removeprefix("percentile"))) / 2
            low, high = np.percentile(values["sample"], [tail, 100 - tail])
        if name == INPUT and artifact["pixels"]:
            low, high = pixels
        ends = min(low, 0.0), max(high, 0.0, 1e-6)
        ranges[name] = {
            key: np.array([end], np.float32) for key, end in zip(("min", "max"), ends, strict=True)
        }
    return ranges


def entropy_limit(values: np.ndarray) -> float:
    """Where to clip values so that 8 bits lose least of their distribution.

    Of each candidate, the histogram of the clipped values is compared with the same one in the
    steps of int8, by Kullback-Leibler divergence. Values of one sign have 256 steps, others
    128 for each sign.
    """
    sizes = np.abs(values[np.isfinite(values)])
    steps = BINS // 8 if sizes.size and values.min() >= 0 else BINS // 16
    if not sizes.size or sizes.max() == 0:
        return 0.0
    counts, edges = np.histogram(sizes, BINS, (0, float(sizes.max())))
    kept = range(steps, BINS + 1, steps // 8)
    losses = [_divergence(counts.astype(np.float64), number, steps) for number in kept]
    return float(edges[kept[int(np.argmin(losses))]])


def _divergence(counts: np.ndarray, kept: int, steps: int) -> float:
    """In nats: the first bins of a histogram, the rest clipped to them, against `steps` steps."""
    clipped = counts[:kept].copy()
    clipped[-1] += counts[kept:].sum()
    step = np.arange(kept) * steps // kept
    is_used = counts[:kept] > 0
    total = np.bincount(step, counts[:kept], steps)
    used = np.maximum(np.bincount(step, is_used, steps), 1)
    coarse = np.where(is_used, (total / used)[step], 0)
    if coarse.sum() == 0:
        return float("inf")
    p, q = clipped / clipped.sum(), np.maximum(coarse / coarse.sum(), 1e-12)
    return float((p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum())


def kept_scopes(content: bytes, nodes: list) -> list:
    """Patterns of the operators of some ONNX nodes, and of their readers.

    The converter begins the names of a node's constants with the node's name.
    """
    from ai_edge_litert import schema_py_generated

    schema: Any = schema_py_generated
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    graph = model.subgraphs[0]
    moving, softmax = codes_of(model, schema, MOVING), codes_of(model, schema, ("SOFTMAX",))
    kept = []
    for operator in graph.operators:
        constants = [graph.tensors[index].name.decode() for index in operator.inputs[1:]]
        if any(name.startswith(f"{node}_") for name in constants for node in nodes):
            kept += [operator, *readers_of(graph, operator, moving)]
    kept += movers_between(graph, kept, moving)
    kept = [operator for operator in kept if operator.opcodeIndex not in softmax]  # always float
    names = [graph.tensors[operator.outputs[0]].name.decode() for operator in kept]
    return [f"^{re.escape(name)};?$" for name in dict.fromkeys(names)]


def codes_of(model: Any, schema: Any, names: tuple) -> set:
    """Numbers that a model gives to these kinds of operators."""
    kinds = {vars(schema.BuiltinOperator)[name] for name in names}
    return {n for n, code in enumerate(model.operatorCodes) if code.builtinCode in kinds}


def movers_between(graph: Any, kept: list, moving: set) -> list:
    """The operators that only move values from one of the kept operators to another one."""
    made_by = {operator.outputs[0]: operator for operator in graph.operators}
    places = {operator.outputs[0] for operator in kept}
    found = []
    for operator in kept:
        for index in operator.inputs:
            chain = []
            while index not in places and index in made_by:
                if made_by[index].opcodeIndex not in moving:
                    break
                chain.append(made_by[index])
                index = made_by[index].inputs[0]
            found += chain if index in places else []
    return found


def readers_of(graph: Any, operator: Any, moving: set) -> list:
    """The operators that compute with the output of one, and those between that move it."""
    found = []
    for reader in (o for o in graph.operators if operator.outputs[0] in o.inputs):
        found.append(reader)
        if reader.opcodeIndex in moving:
            found += readers_of(graph, reader, moving)
    return found


def quantize(file: Path, ranges: dict, image: np.ndarray, floats: list, int16: list) -> bytes:
    """The int8 file: static, per channel. The softmax and the outputs stay float."""
    from ai_edge_quantizer import qtyping, quantizer, recipe

    tool = quantizer.Quantizer(str(file))
    tool.load_quantization_recipe(recipe.static_wi8_ai8())
    everything = qtyping.TFLOperationName.ALL_SUPPORTED
    for scope in int16:
        tool.add_static_config(scope, everything, activation_num_bits=16, weight_num_bits=8)
    for operation in (qtyping.TFLOperationName.SOFTMAX, qtyping.TFLOperationName.OUTPUT):
        tool.update_quantization_recipe(".*", operation, algorithm_key="no_quantize")
    for scope in floats:
        tool.update_quantization_recipe(scope, everything, algorithm_key="no_quantize")
    # The tool calibrates on one image here, to name the tensors that need a range.
    needed = tool.calibrate({"serving_default": [{INPUT: image}]}, num_threads=1)
    needed |= {name: ranges[name] for name in needed.keys() & ranges.keys()}
    return bytes(tool.quantize(needed, enable_progress_report=False).quantized_model)


def finish(content: bytes, artifact: dict, request: dict) -> bytes:
    """Add the uint8 input, if it takes pixels, and the metadata, with room for places."""
    from ai_edge_litert import schema_py_generated

    schema: Any = schema_py_generated
    model = opened(content, schema)
    if artifact["pixels"]:
        take_pixels(model, schema, request["scale"])
    add_metadata(model, schema, ENTRY, np.frombuffer(artifact["metadata"].encode(), np.uint8))
    if artifact["int8"] and request["places"]:
        tensors = len(model.subgraphs[0].tensors)
        room = np.array([1, 0, tensors, *[-1] * tensors], "<i4")  # -1: wherever the planner wants
        add_metadata(model, schema, PLACES, room.view(np.uint8))
    return packed(model, len(content))


def opened(content: bytes, schema: Any) -> Any:
    """The model of a file, with all constants inside."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    for buffer in model.buffers:
        if buffer.offset:  # the tools keep large constants behind the FlatBuffer
            part = content[buffer.offset : buffer.offset + buffer.size]
            buffer.data, buffer.offset, buffer.size = np.frombuffer(part, np.uint8), 0, 0
    return model


def packed(model: Any, size: int) -> bytes:
    """The file of a model, of about this size."""
    import flatbuffers

    builder = flatbuffers.Builder(size + 4096)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def add_metadata(model: Any, schema: Any, name: str, data: np.ndarray) -> None:
    """Add an entry of bytes."""
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = data
    entry.name, entry.buffer = name, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]


def take_pixels(model: Any, schema: Any, stated: list | None) -> None:
    """Put a uint8 input before the input: a step to float, or a shift by 128 to int8."""
    graph = model.subgraphs[0]
    index = graph.inputs[0]
    old = graph.tensors[index]
    new = schema.TensorT()
    new.name, new.shape, new.type = old.name, old.shape, schema.TensorType.UINT8
    new.shapeSignature, new.buffer = old.shapeSignature, 0
    kinds = schema.BuiltinOperator
    is_float = old.type == schema.TensorType.FLOAT32
    kind = kinds.CAST if is_float else kinds.QUANTIZE
    if kind == kinds.QUANTIZE or stated is not None:
        numbers = new.quantization = schema.QuantizationParametersT()
        if not is_float:
            numbers.scale = old.quantization.scale
            numbers.zeroPoint = np.asarray(old.quantization.zeroPoint) + 128
        elif stated is not None:
            kind = kinds.DEQUANTIZE
            numbers.scale, numbers.zeroPoint = [stated[0]], np.array([zero_pixel(stated)])
    old.name = b"image_shifted"
    graph.tensors.append(new)
    operator = schema.OperatorT()
    operator.opcodeIndex = code_of(model, schema, kind)
    operator.inputs, operator.outputs = [len(graph.tensors) - 1], [index]
    graph.operators.insert(0, operator)
    graph.inputs = [len(graph.tensors) - 1]
    for signature in model.signatureDefs or []:
        for tensor in signature.inputs:
            tensor.tensorIndex = graph.inputs[0]


def code_of(model: Any, schema: Any, kind: int) -> int:
    """Index of an operator code; it is added if the model has none."""
    for number, code in enumerate(model.operatorCodes):
        if code.builtinCode == kind:
            return number
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = kind, kind, 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


if __name__ == "__main__":
    main(sys.argv[1])
