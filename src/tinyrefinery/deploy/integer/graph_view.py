"""What planning an operator needs of its graph: readers, aliases, errors that name the place."""

import math
from collections.abc import Collection

from tinyrefinery.deploy.integer.layers import Shape
from tinyrefinery.deploy.integer.quantized_graph import (
    QuantizedGraph,
    QuantizedOperator,
    QuantizedTensor,
)
from tinyrefinery.errors import DataError

_SHAPE_LAST = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
"""Operators of which only the first input holds values; all shapes are in the file anyway."""


class GraphView:
    """A graph while it is planned."""

    def __init__(self, graph: QuantizedGraph) -> None:
        self.graph, self.tensors = graph, graph.tensors
        self.operators = _needed(graph)
        self.real: dict[int, int] = {}
        """float32 tensors that a softmax reads, and the int8 tensors that they come from."""
        self.framed: dict[int, tuple[int, tuple[int, int]]] = {}
        """Padded tensors that exist in no memory: the tensor without padding, above and left."""
        self._alias: dict[int, int] = {}

    def refuse_unknown(self, known: Collection[str]) -> None:
        """Refuse the file if it has other operators.

        Raises:
            DataError: with the names of all of them.
        """
        if unknown := sorted({each.kind for each in self.operators} - set(known)):
            raise DataError(
                f"{self.graph.name}: has operators that C sources can't have yet: "
                f"{', '.join(unknown)}. Choose an architecture without them, or bundle the file "
                "for LiteRT for Microcontrollers: bundle FILE --for mcu"
            )

    def refusal(self, operator: QuantizedOperator, reason: str) -> DataError:
        """An error about one operator."""
        name = self.tensors[operator.outputs[0]].name
        return DataError(
            f"{self.graph.name}: {operator.kind} {name!r} can't be written in C: {reason}"
        )

    def same_bytes(self, target: int, source: int) -> None:
        """Note that a tensor holds the bytes of another one in their order."""
        self._alias[target] = self.root(source)

    def root(self, number: int) -> int:
        """The tensor that holds the bytes of a tensor."""
        return self._alias.get(number, number)

    def readers(self, number: int) -> list[QuantizedOperator]:
        """Operators that read a tensor."""
        return [each for each in self.operators if number in each.inputs]

    def image(self, number: int) -> Shape:
        """Height, width and channels of a tensor. One without them is a single pixel.

        Raises:
            DataError: if it holds several images.
        """
        shape = self.tensors[number].shape
        if len(shape) == 4 and shape[0] == 1:
            return shape[1], shape[2], shape[3]
        if len(shape) > 2 or math.prod(shape[:-1]) != 1:
            raise DataError(
                f"{self.graph.name}: tensor {self.tensors[number].name!r} has the shape "
                f"{list(shape)}. C sources compute one image at a time: export it with a batch of 1"
            )
        return 1, 1, shape[-1] if shape else 1

    def quantized(self, operator: QuantizedOperator, number: int) -> QuantizedTensor:
        """An int8 or uint8 tensor with one scale.

        Raises:
            DataError: if it is another one.
        """
        tensor = self.tensors[number]
        if not tensor.is_quantized:
            raise self.refusal(
                operator, f"it reads or gives {tensor.dtype}, not int8 with one scale"
            )
        return tensor


def _needed(graph: QuantizedGraph) -> list[QuantizedOperator]:
    """Operators that the output depends on. What computes shapes alone is left out."""
    wanted, kept = set(graph.outputs), []
    for operator in reversed(graph.operators):
        if wanted & set(operator.outputs):
            kept.append(operator)
            inputs = operator.inputs[:1] if operator.kind in _SHAPE_LAST else operator.inputs
            wanted |= set(inputs)
    return kept[::-1]
