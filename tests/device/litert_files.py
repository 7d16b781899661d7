"""Small LiteRT files, written by hand: no converter is needed."""

from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

INT8 = schema.TensorType.INT8


class Writer:
    """Builds a file with one subgraph, operator by operator."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version, self.model.operatorCodes = 3, []
        self.model.buffers = [schema.BufferT()]
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]

    def tensor(self, shape: tuple[int, ...], values: np.ndarray | None = None) -> int:
        """Add an int8 tensor, or a constant of any type; returns its number."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = (
            f"t{len(self.graph.tensors)}",
            shape,
            INT8,
            0,
        )
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [0.1], [0]
        if values is not None:
            tensor.type = schema.TensorType.INT32 if values.dtype == np.int32 else INT8
            channels = shape[0] if shape[0] > 1 else shape[-1]
            tensor.quantization.scale = [0.1 * 0.01] * channels  # of a bias
            tensor.quantization.zeroPoint = [0] * channels
            if values.dtype == np.int8:
                tensor.quantization.scale = [0.01] * channels
                tensor.quantization.quantizedDimension = 0 if shape[0] > 1 else len(shape) - 1
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, kind: str, options: str, inputs: list[int], shape, **fields) -> int:
        """Add an operator with one output; returns the output's number."""
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind)
        code.version = 3 if "CONV" in kind else 1 if kind == "RESHAPE" else 2
        self.model.operatorCodes.append(code)
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = inputs, [self.tensor(shape)]
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        operator.builtinOptions = getattr(schema, f"{options}T")()
        for name, value in fields.items():
            setattr(operator.builtinOptions, name, value)
        self.graph.operators.append(operator)
        return operator.outputs[0]

    def conv(self, image: int, outputs: int, *, side: int = 3, stride: int = 1) -> int:
        """A convolution that keeps the size, or halves it."""
        _, height, width, channels = self.graph.tensors[image].shape
        weights = self.tensor(
            (outputs, side, side, channels), np.ones((outputs, side, side, channels), np.int8)
        )
        shape = (1, -(-height // stride), -(-width // stride), outputs)
        strides = {"strideH": stride, "strideW": stride, "dilationHFactor": 1, "dilationWFactor": 1}
        bias = self.tensor((outputs,), np.zeros(outputs, np.int32))
        return self.operator("CONV_2D", "Conv2DOptions", [image, weights, bias], shape, **strides)

    def depthwise(self, image: int) -> int:
        """A 3x3 depthwise convolution that keeps the size."""
        shape = self.graph.tensors[image].shape
        weights = self.tensor((1, 3, 3, shape[3]), np.ones((1, 3, 3, shape[3]), np.int8))
        bias = self.tensor((shape[3],), np.zeros(shape[3], np.int32))
        fields = {"strideH": 1, "strideW": 1, "depthMultiplier": 1}
        fields |= {"dilationHFactor": 1, "dilationWFactor": 1}
        return self.operator(
            "DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions", [image, weights, bias], shape, **fields
        )

    def add(self, one: int, other: int) -> int:
        """The sum of two tensors."""
        return self.operator("ADD", "AddOptions", [one, other], self.graph.tensors[one].shape)

    def write(self, path: Path, inputs: list[int], outputs: list[int]) -> Path:
        """Write the file."""
        self.graph.inputs, self.graph.outputs = inputs, outputs
        builder = flatbuffers.Builder(4096)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))
        return path


def random_network(path: Path, seed: int) -> Path:
    """Convolutions, depthwise convolutions and sums of random sizes."""
    draws = np.random.default_rng(seed)
    writer = Writer()
    side = int(draws.choice([8, 12, 16, 20, 33]))
    start = image = writer.tensor((1, side, side, int(draws.choice([1, 3]))))
    for _ in range(int(draws.integers(2, 9))):
        match draws.integers(4):
            case 0:
                image = writer.depthwise(image)
            case 1:
                image = writer.add(image, writer.conv(image, writer.graph.tensors[image].shape[3]))
            case _:
                outputs, stride = int(draws.integers(4, 40)), int(draws.integers(1, 3))
                image = writer.conv(image, outputs, side=int(draws.choice([1, 3])), stride=stride)
    return writer.write(path, [start], [image])
