"""Small int8 LiteRT files with random weights and scales, one for each operator and its corners."""

from collections.abc import Callable
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

SAME, VALID = 0, 1
NONE, RELU, RELU_N1, RELU6 = 0, 1, 2, 3
_NAMES = {"int8": "INT8", "uint8": "UINT8", "int32": "INT32", "float32": "FLOAT32"}
_VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "QUANTIZE": 1}
_OPTIONS = {"CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2D", "MEAN": "Reducer"}
_OPTIONS |= {"AVERAGE_POOL_2D": "Pool2D", "MAX_POOL_2D": "Pool2D", "LOGISTIC": "", "RELU": ""}
_OPTIONS |= {
    "RELU6": "",
    "HARD_SWISH": "",
    "QUANTIZE": "Quantize",
    "FULLY_CONNECTED": "FullyConnected",
}


class Int8File:
    """Builds a file with one subgraph, operator by operator."""

    def __init__(self, seed: int) -> None:
        self.draws = np.random.default_rng(seed)
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.operatorCodes = 3, []
        self.model.buffers, self.model.subgraphs = [schema.BufferT()], [self.graph]
        self.graph.tensors, self.graph.operators = [], []

    def shape(self, number: int) -> tuple[int, ...]:
        return tuple(self.graph.tensors[number].shape)

    def tensor(
        self,
        shape,
        dtype: str = "int8",
        scale=0.05,
        zero: int = 0,
        values: np.ndarray | None = None,
        axis: int = 0,
    ) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape = f"t{len(self.graph.tensors)}", list(shape)
        tensor.type, tensor.buffer = getattr(schema.TensorType, _NAMES[dtype]), 0
        if dtype != "float32" and scale is not None:
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = scales
            tensor.quantization.zeroPoint = np.full(len(scales), zero, np.int64)
            tensor.quantization.quantizedDimension = axis
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def image(self, height: int, width: int, channels: int, **options) -> int:
        """An activation with a random scale and zero point."""
        return self.activation((1, height, width, channels), **options)

    def activation(self, shape, **options) -> int:
        options.setdefault("scale", float(self.draws.uniform(0.02, 0.08)))
        options.setdefault("zero", int(self.draws.integers(-60, 60)))
        return self.tensor(shape, **options)

    def numbers(self, values) -> int:
        values = np.asarray(values, np.int32)
        return self.tensor(values.shape, "int32", None, values=values)

    def operator(self, kind: str, inputs: list[int], outputs: list[int], **fields) -> int:
        """Add an operator; returns its first output."""
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind)
        code.version = _VERSIONS.get(kind, 2)
        self.model.operatorCodes.append(code)
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = inputs, outputs
        camel = "".join(part.capitalize() for part in kind.split("_"))
        name = _OPTIONS.get(kind, camel)
        if name:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, f"{name}Options")
            operator.builtinOptions = getattr(schema, f"{name}OptionsT")()
            for key, value in fields.items():
                setattr(operator.builtinOptions, key, value)
        self.graph.operators.append(operator)
        return outputs[0]

    def conv(
        self,
        image: int,
        filters: int,
        *,
        side=(3, 3),
        stride=(1, 1),
        dilation=(1, 1),
        padding: int = SAME,
        activation: int = NONE,
        groups: int = 1,
        bias: bool = True,
        depthwise: int = 0,
        per_filter: bool = True,
    ) -> int:
        """A convolution; with `depthwise`, that many filters per channel."""
        _, height, width, channels = self.shape(image)
        spans = [(length - 1) * step + 1 for length, step in zip(side, dilation, strict=True)]
        sizes = [
            -(-size // step) if padding == SAME else (size - span) // step + 1
            for size, span, step in zip((height, width), spans, stride, strict=True)
        ]
        filters = channels * depthwise if depthwise else filters
        shape = (1, *side, filters) if depthwise else (filters, *side, channels // groups)
        axis = 3 if depthwise else 0
        scales = self.draws.uniform(0.004, 0.02, filters if per_filter else 1).astype(np.float32)
        values = self.draws.integers(-127, 128, shape).astype(np.int8)
        inputs = [image, self.tensor(shape, scale=scales, values=values, axis=axis)]
        source = self.graph.tensors[image].quantization.scale[0]
        if bias:
            offsets = self.draws.integers(-3000, 3000, filters).astype(np.int32)
            inputs.append(self.tensor((filters,), "int32", scales * source, values=offsets))
        target = self.activation((1, *sizes, filters), scale=float(self.draws.uniform(0.1, 0.4)))
        fields = {"padding": padding, "strideH": stride[0], "strideW": stride[1]}
        fields |= {"dilationHFactor": dilation[0], "dilationWFactor": dilation[1]}
        fields |= {"fusedActivationFunction": activation}
        if depthwise:
            fields["depthMultiplier"] = depthwise
        kind = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        return self.operator(kind, inputs, [target], **fields)

    def dense(self, source: int, outputs: int, *, per_filter=False, activation=NONE) -> int:
        length = int(np.prod(self.shape(source)))
        scales = self.draws.uniform(0.004, 0.02, outputs if per_filter else 1).astype(np.float32)
        values = self.draws.integers(-127, 128, (outputs, length)).astype(np.int8)
        offsets = self.draws.integers(-3000, 3000, outputs).astype(np.int32)
        scale = self.graph.tensors[source].quantization.scale[0]
        inputs = [source, self.tensor((outputs, length), scale=scales, values=values)]
        inputs.append(self.tensor((outputs,), "int32", scales * scale, values=offsets))
        target = self.activation((1, outputs), scale=0.2)
        return self.operator(
            "FULLY_CONNECTED", inputs, [target], fusedActivationFunction=activation
        )

    def pool(self, image: int, kind: str, side, stride, padding=VALID, activation=NONE) -> int:
        _, height, width, channels = self.shape(image)
        sizes = [
            -(-size // step) if padding == SAME else (size - length) // step + 1
            for size, length, step in zip((height, width), side, stride, strict=True)
        ]
        old = self.graph.tensors[image].quantization
        target = self.tensor((1, *sizes, channels), scale=old.scale[0], zero=int(old.zeroPoint[0]))
        fields = {"padding": padding, "strideH": stride[0], "strideW": stride[1]}
        fields |= {"filterHeight": side[0], "filterWidth": side[1]}
        return self.operator(
            f"{kind}_POOL_2D", [image], [target], fusedActivationFunction=activation, **fields
        )

    def pair(self, kind: str, one: int, other: int, activation=NONE, scale=0.1) -> int:
        target = self.activation(self.shape(one), scale=scale)
        return self.operator(kind, [one, other], [target], fusedActivationFunction=activation)

    def unary(self, kind: str, source: int, shape=None, **options) -> int:
        target = self.activation(shape or self.shape(source), **options)
        return self.operator(kind, [source], [target])

    def pad(self, image: int, amounts) -> int:
        old = self.graph.tensors[image].quantization
        shape = np.add(self.shape(image), np.sum(amounts, axis=1)).tolist()
        target = self.tensor(shape, scale=old.scale[0], zero=int(old.zeroPoint[0]))
        return self.operator("PAD", [image, self.numbers(amounts)], [target])

    def softmax(self, source: int, beta: float = 1.0) -> int:
        target = self.tensor(self.shape(source), scale=1 / 256, zero=-128)
        return self.operator("SOFTMAX", [source], [target], beta=beta)

    def content(self, start: int, end: int) -> bytes:
        """The file's bytes."""
        self.graph.inputs, self.graph.outputs = [start], [end]
        builder = flatbuffers.Builder(4096)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _convolutions(file: Int8File) -> tuple[int, int]:
    start = image = file.image(9, 7, 3)
    image = file.conv(image, 5, stride=(2, 1), activation=RELU)
    image = file.conv(image, 6, side=(1, 1), padding=VALID, activation=RELU6, per_filter=False)
    image = file.conv(image, 7, side=(3, 2), dilation=(2, 3), bias=False)
    image = file.conv(image, 8, side=(1, 1), stride=(2, 2), activation=RELU_N1)
    return start, file.conv(image, 4, side=(2, 3), padding=VALID)


def _groups(file: Int8File) -> tuple[int, int]:
    start = image = file.image(6, 5, 6)
    image = file.conv(image, 9, groups=3)
    return start, file.conv(image, 6, side=(1, 1), groups=3)


def _depthwise(file: Int8File) -> tuple[int, int]:
    start = image = file.image(8, 9, 3)
    image = file.conv(image, 0, depthwise=1)
    image = file.conv(image, 0, depthwise=2, stride=(2, 2), activation=RELU6)
    image = file.conv(image, 0, depthwise=1, side=(3, 4), dilation=(2, 1), activation=RELU)
    return start, file.conv(image, 0, depthwise=1, side=(2, 2), padding=VALID, stride=(2, 1))


def _pools(file: Int8File) -> tuple[int, int]:
    start = image = file.image(11, 9, 5)
    image = file.pool(image, "AVERAGE", (3, 2), (2, 1), SAME)
    image = file.pool(image, "MAX", (2, 3), (1, 1), SAME, RELU)
    image = file.pool(image, "MAX", (2, 2), (2, 2))
    return start, file.pool(image, "AVERAGE", (2, 2), (1, 3), VALID, RELU6)


def _mean(file: Int8File) -> tuple[int, int]:
    start = file.image(5, 7, 6)
    scale = {"scale": 0.03, "zero": -9}
    target = file.activation((1, 6), **scale)
    mean = file.operator("MEAN", [start, file.numbers([1, 2])], [target], keepDims=False)
    rows = file.activation((1, 5), **scale)  # over the two last axes
    rows = file.operator("MEAN", [start, file.numbers([-1, 2])], [rows], keepDims=False)
    joined = file.activation((1, 11), **scale)
    fields = {"axis": 1, "fusedActivationFunction": NONE}
    mean = file.operator("CONCATENATION", [mean, rows], [joined], **fields)
    return start, file.softmax(file.dense(mean, 7, per_filter=True))


def _sums(file: Int8File) -> tuple[int, int]:
    start = file.image(4, 5, 6)
    image = file.conv(start, 6)
    both = file.pair("ADD", start, image, RELU)
    constant = file.draws.integers(-128, 128, (6,)).astype(np.int8)
    both = file.pair("ADD", both, file.tensor((6,), scale=0.03, zero=5, values=constant))
    both = file.pair("MUL", both, image, RELU6, scale=0.2)
    pooled = file.activation((1, 1, 1, 6))
    pooled = file.operator("MEAN", [both, file.numbers([1, 2])], [pooled], keepDims=True)
    gate = file.unary("LOGISTIC", pooled, scale=1 / 256, zero=-128)
    return start, file.pair("MUL", both, gate)


def _lookups(file: Int8File) -> tuple[int, int]:
    start = file.image(4, 4, 16, dtype="uint8", scale=0.02, zero=100)
    image = file.unary("QUANTIZE", start, scale=0.02, zero=-28)
    image = file.unary("QUANTIZE", image, scale=0.033)
    image = file.unary("RELU", image, scale=0.02)
    image = file.unary("LOGISTIC", image, scale=1 / 256, zero=-128)
    image = file.conv(image, 16, side=(1, 1))
    image = file.unary("HARD_SWISH", image, scale=0.15)
    return start, file.unary("QUANTIZE", image, dtype="uint8", scale=0.3, zero=120)


def _frames(file: Int8File) -> tuple[int, int]:
    start = file.image(5, 6, 4)
    image = file.pad(start, [[0, 0], [1, 2], [2, 1], [0, 0]])
    image = file.conv(image, 5, stride=(2, 2), padding=VALID)
    image = file.pad(image, [[0, 0], [1, 0], [0, 1], [1, 2]])
    image = file.pool(image, "MAX", (2, 2), (1, 1))
    image = file.pad(image, [[0, 0], [0, 1], [1, 1], [0, 0]])
    return start, file.conv(image, 0, depthwise=1, padding=VALID)


def _moves(file: Int8File) -> tuple[int, int]:
    start = file.image(4, 3, 8, scale=0.05, zero=3)
    options = {"scale": 0.05, "zero": 3}
    parts = [file.tensor((1, 4, 3, 4), **options) for _ in range(2)]
    file.operator("SPLIT", [file.numbers(3), start], parts, numSplits=2)
    joined = file.tensor((1, 4, 3, 16), **options)
    inputs = [parts[1], start, parts[0]]
    file.operator("CONCATENATION", inputs, [joined], axis=3, fusedActivationFunction=NONE)
    wide = file.tensor((1, 4, 3, 2, 8), **options)
    file.operator("RESHAPE", [joined, file.numbers([1, 4, 3, 2, 8])], [wide], newShape=[])
    turned = file.tensor((1, 4, 3, 8, 2), **options)
    file.operator("TRANSPOSE", [wide, file.numbers([0, 1, 2, 4, 3])], [turned])
    flat = file.tensor((1, 4, 3, 16), **options)
    file.operator("RESHAPE", [turned, file.numbers([1, 4, 3, 16])], [flat], newShape=[])
    cut = file.tensor((1, 2, 3, 16), **options)
    bounds = ([0, 1, 0, 0], [1, 3, 3, 16], [1, 1, 1, 1])
    inputs = [flat, *(file.numbers(each) for each in bounds)]
    masks = ("beginMask", "endMask", "ellipsisMask", "newAxisMask", "shrinkAxisMask")
    file.operator("STRIDED_SLICE", inputs, [cut], **dict.fromkeys(masks, 0))
    order = file.numbers([3, 1, 15, *range(13)])
    chosen = file.tensor((1, 2, 3, 16), **options)
    cut = file.operator("GATHER", [cut, order], [chosen], axis=3, batchDims=0)
    chosen = file.tensor((1, 3, 3, 16), **options)
    cut = file.operator("GATHER", [cut, file.numbers([1, 0, 1])], [chosen], axis=1, batchDims=0)
    turned = file.tensor((1, 16, 3, 3), **options)
    file.operator("TRANSPOSE", [cut, file.numbers([0, 3, 1, 2])], [turned])
    return start, file.conv(turned, 3)


def _classifier(file: Int8File) -> tuple[int, int]:
    start = file.image(6, 6, 2)
    image = file.conv(start, 3, activation=RELU)
    flat = file.activation((1, 108), scale=0.1)
    old = file.graph.tensors[image].quantization
    file.graph.tensors[flat].quantization = old
    file.operator("RESHAPE", [image, file.numbers([1, 108])], [flat], newShape=[])
    hidden = file.dense(flat, 9, activation=RELU)
    return start, file.softmax(file.dense(hidden, 11))


def _chain(file: Int8File) -> tuple[int, int]:
    """Layers of random kinds and sizes."""
    draws, side = file.draws, int(file.draws.integers(6, 14))
    start = image = file.image(side, int(draws.integers(6, 14)), int(draws.choice([1, 3])))
    for _ in range(7):
        match int(draws.integers(5)):
            case 0:
                image = file.conv(image, 0, depthwise=1, stride=(int(draws.integers(1, 3)), 1))
            case 1:
                width = file.shape(image)[3]
                image = file.pair("ADD", image, file.conv(image, width), int(draws.integers(4)))
            case 2:
                image = file.pool(image, "MAX", (2, 2), (1, 1), SAME)
            case _:
                sides = tuple(int(each) for each in draws.choice([1, 2, 3], 2))
                image = file.conv(image, int(draws.integers(3, 12)), side=sides, activation=RELU)
    return start, image


CASES: dict[str, Callable[[Int8File], tuple[int, int]]] = {
    "convolutions": _convolutions,
    "groups": _groups,
    "depthwise": _depthwise,
    "pools": _pools,
    "mean": _mean,
    "sums": _sums,
    "lookups": _lookups,
    "frames": _frames,
    "moves": _moves,
    "classifier": _classifier,
    **{f"chain{number}": _chain for number in range(6)},
}


def write_case(name: str, path: Path) -> Path:
    """Write the file of a case."""
    file = Int8File(list(CASES).index(name))
    start, end = CASES[name](file)
    path.write_bytes(file.content(start, end))
    return path
