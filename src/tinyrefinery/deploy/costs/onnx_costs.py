"""The operators of an ONNX file that have constants or products, and its memory."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinyrefinery.deploy.costs.layer_costs import LayerCost
from tinyrefinery.deploy.costs.peak_memory import Lifetime, most_at_once
from tinyrefinery.errors import CheckpointError

Shape = tuple[int, ...]
_IN_PLACE = frozenset(
    {
        *("Relu", "Clip", "LeakyRelu", "PRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh"),
        *("BatchNormalization", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"),
        *("QuantizeLinear", "DequantizeLinear", "Transpose", "Cast"),
    }
)
"""Operators whose outputs are in the memory of their first input."""
_PASSING = ("DequantizeLinear", "QuantizeLinear", "Transpose", "Reshape", "Identity")
"""Operators that pass constants on."""


def onnx_costs(path: Path) -> tuple[list[LayerCost], int, Shape]:
    """The operators of a file, bytes of the activations in memory at once, and its input's shape.

    Raises:
        CheckpointError: if onnx is missing, the file is damaged, or a shape is not known.
    """
    try:
        import onnx
    except ImportError as error:
        raise CheckpointError(
            f"{path}: ONNX files need onnx: pip install 'tinyrefinery[onnx]'"
        ) from error
    try:
        model = onnx.load(str(path))
        image = _one_image(model, path)
        model = onnx.shape_inference.infer_shapes(model, strict_mode=False)
    except CheckpointError:
        raise
    except Exception as error:  # a damaged file makes the parser raise anything
        raise CheckpointError(
            f"{path}: is damaged ({error!r}). Export it again or restore a copy"
        ) from error
    return *_Graph(model.graph, path).costs(), image


def _one_image(model: Any, path: Path) -> Shape:
    """Let the file take one image at a time; the shape of it."""
    constants = {each.name for each in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    dimensions = inputs[0].type.tensor_type.shape.dim if len(inputs) == 1 else []
    if len(dimensions) != 4:
        raise CheckpointError(f"{path}: does not have one input of images (N, C, H, W)")
    dimensions[0].dim_value = 1
    shape = tuple(d.dim_value for d in dimensions)
    if 0 in shape:
        raise CheckpointError(
            f"{path}: takes images of any size, so its cost is not known. Name the run or network "
            "file that it was made from"
        )
    return shape


class _Graph:
    """An inferred graph: constants, shapes and readers."""

    def __init__(self, graph: Any, path: Path) -> None:
        self.graph, self.path = graph, path
        self.constants: dict[str, Any] = {each.name: each for each in graph.initializer}
        values = [*graph.input, *graph.value_info, *graph.output]
        self.shapes: dict[str, Shape] = {v.name: _shape(v) for v in values}
        self.shapes |= {name: tuple(each.dims) for name, each in self.constants.items()}
        self.bytes = {v.name: _width(v) for v in values}
        self.sources = {out: node for node in graph.node for out in node.output}

    def costs(self) -> tuple[list[LayerCost], int]:
        """All operators that have constants or products, and the peak."""
        seen: set[str] = set()
        found = []
        for node in self.graph.node:
            if node.op_type in _PASSING:
                continue
            names = [n for value in node.input for n in self._constants_of(value)]
            own = [n for n in dict.fromkeys(names) if n not in seen]
            seen |= set(own)
            macs = self._macs(node)
            if own or macs:
                found.append(self._line(node, own, macs))
        return found, most_at_once(self._lifetimes())

    def _line(self, node: Any, own: list[str], macs: int) -> LayerCost:
        return LayerCost(
            name=node.name or node.output[0],
            kind=node.op_type,
            output=self.shapes.get(node.output[0], ())[1:],
            parameters=sum(math.prod(self.shapes[name]) for name in own),
            bytes=sum(_stored(self.constants[name]) for name in own),
            macs=macs,
            binary_macs=0,
        )

    def _constants_of(self, value: str) -> list[str]:
        """The constants that a value is computed from alone; none for activations."""
        if value in self.constants:
            return [value]
        node = self.sources.get(value)
        if node is None or node.op_type not in _PASSING:
            return []
        inside = [self._constants_of(each) for each in node.input if each]
        return [name for names in inside for name in names] if all(inside) else []

    def _shape_of(self, value: str) -> Shape:
        """Shape of a value.

        Raises:
            CheckpointError: if it is not known.
        """
        shape = self.shapes.get(value)
        if shape is None or 0 in shape:
            raise CheckpointError(
                f"{self.path}: the shape of '{value}' depends on the image, so its cost is not "
                "known. Name the run or network file that it was made from"
            )
        return shape

    def _macs(self, node: Any) -> int:
        match node.op_type:
            case "Conv" | "ConvInteger":
                weights = node.input[1]
            case "QLinearConv":
                weights = node.input[3]
            case "Gemm":
                rows = {a.name: a.i for a in node.attribute}.get("transB", 0)
                shape = self._shape_of(node.input[1])
                return math.prod(self._shape_of(node.output[0])) * shape[1 if rows else 0]
            case "MatMul" | "MatMulInteger":
                return math.prod(self._shape_of(node.output[0])) * self._shape_of(node.input[0])[-1]
            case _:
                return 0
        # Weights (outputs, inputs of a group, height, width)
        return math.prod(self._shape_of(node.output[0])) * math.prod(self._shape_of(weights)[1:])

    def _lifetimes(self) -> list[Lifetime]:
        image = self.graph.input[0].name
        home = {image: image}
        first, last = {image: 0}, {image: 0}
        for step, node in enumerate(self.graph.node, start=1):
            reads = [name for name in node.input if name in home]
            for name in reads:
                last[home[name]] = step
            if not reads:
                continue  # of constants alone
            shares = node.op_type in _IN_PLACE
            for name in node.output:
                home[name] = home[reads[0]] if shares else name
                if not shares:
                    first[name] = last[name] = step
        for output in self.graph.output:
            last[home[output.name]] = len(self.graph.node)
        return [Lifetime(self._size(name), first[name], last[name]) for name in first]

    def _size(self, name: str) -> int:
        return math.prod(self._shape_of(name)) * self.bytes.get(name, 4)


def _shape(value: Any) -> Shape:
    return tuple(d.dim_value for d in value.type.tensor_type.shape.dim)


def _width(value: Any) -> int:
    """Bytes of one number of a value."""
    return _WIDTHS.get(value.type.tensor_type.elem_type, 4)


def _stored(constant: Any) -> int:
    return math.prod(constant.dims) * _WIDTHS.get(constant.data_type, 4)


_WIDTHS: Mapping[int, int] = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 16: 2}
"""Bytes of ONNX's types by number: float, uint8, int8, uint16, int16, int32, int64, bool, float16,
double, bfloat16."""
