"""Build the graph of a LiteRT file that was not written yet."""

import math
from collections.abc import Sequence

from tinyrefinery.device.litert_graph import Graph, Operator, TensorFacts

INT8, INT32, FLOAT32 = 1, 4, 4
"""Bytes of a number."""
FIRST, EARLY, BY_QUANTIZER, LAST = -1, 0, 1, 2
"""When the tool chain adds a tensor. Among buffers of one size, the planner places the last first,
so the order matters."""


class GraphWriter:
    """Tensors and operators in the order in which they are added."""

    def __init__(self) -> None:
        self.tensors: list[TensorFacts] = []
        self.operators: list[Operator] = []
        self._added: list[int] = []

    def tensor(self, shape: Sequence[int], bytes_each: int = INT8, added: int = EARLY) -> int:
        """Add an activation; returns its number."""
        return self._add(shape, bytes_each, added, is_constant=False)

    def constant(self, shape: Sequence[int], bytes_each: int = INT8) -> int:
        """Add weights, a bias or a shape; returns its number."""
        return self._add(shape, bytes_each, EARLY, is_constant=True)

    def _add(self, shape: Sequence[int], bytes_each: int, added: int, *, is_constant: bool) -> int:
        sides = tuple(int(side) for side in shape)
        self.tensors.append(TensorFacts(sides, math.prod(sides) * bytes_each, is_constant))
        self._added.append(added)
        return len(self.tensors) - 1

    def operator(
        self,
        kind: str,
        inputs: Sequence[int],
        shape: Sequence[int],
        bytes_each: int = INT8,
        added: int = EARLY,
    ) -> int:
        """Add an operator with one output; returns the output's number."""
        output = self.tensor(shape, bytes_each, added)
        self.operators.append(Operator(kind, tuple(inputs), (output,)))
        return output

    def graph(self, inputs: Sequence[int], outputs: Sequence[int]) -> Graph:
        """The whole, with its tensors in the order in which the tool chain adds them."""
        order = sorted(range(len(self.tensors)), key=lambda number: self._added[number])
        new = {number: place for place, number in enumerate(order)}

        def renumbered(numbers: Sequence[int]) -> tuple[int, ...]:
            return tuple(new[number] for number in numbers)

        operators = tuple(
            Operator(each.kind, renumbered(each.inputs), renumbered(each.outputs))
            for each in self.operators
        )
        tensors = tuple(self.tensors[number] for number in order)
        return Graph(tensors, operators, renumbered(inputs), renumbered(outputs))
