"""Channels last throughout a float LiteRT file. Runs in the tool environment, outside this package.

The converter keeps maps in the order of ONNX, channels first, where it finds no rule of its own:
mostly around the gates of squeeze-and-excitation, which then cost two transpositions of all maps
each. Here such a part gets the order of LiteRT, and its transpositions go. Activations that stood
apart join their convolutions, since a ReLU6 that stands apart is not quantized. What is computed
stays.
"""

# The packages below are in the tool environment only.
# pyright: reportMissingImports=false, reportMissingModuleSource=false

from typing import Any

import numpy as np

FIRST, LAST = [0, 3, 1, 2], [0, 2, 3, 1]
"""Permutations to channels first, and back to channels last."""
SIMPLE = ("RELU", "RELU6", "RELU_0_TO_1", "LOGISTIC", "HARD_SWISH", "TANH", "MUL", "ADD", "SUB")
"""Operators that compute number by number."""
CLIPS = ("RELU", "RELU6")
"""Activations that a convolution can apply itself."""
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")


class Part:
    """What lies in channels first behind a transposition, and what must change with it."""

    def __init__(self, graph: "Graph", start: Any) -> None:
        """Follow the maps from a transposition to the next ones; `fits` tells if all is known."""
        self.graph, self.start = graph, start
        self.maps: set[int] = {start.outputs[0]}
        self.gates: set[int] = set()
        self.means: list[Any] = []
        self.shapes: list[Any] = []
        self.ends: list[Any] = []
        self.fits = self._follow_maps() and self._follow_gates() and bool(self.ends)

    def _follow_maps(self) -> bool:
        """Collect maps, means, ends and gates; False where the order of axes matters otherwise."""
        graph, todo, simple = self.graph, list(self.maps), []
        while todo:
            index = todo.pop()
            if index in graph.outputs:
                return False
            for reader in graph.readers(index):
                kind, made = graph.kind(reader), reader.outputs[0]
                if kind == "MEAN" and graph.constant(reader.inputs[1]) == [2, 3]:
                    if not self._is_only_reshaped(made):
                        return False
                    self.means.append(reader)
                elif kind == "TRANSPOSE" and graph.constant(reader.inputs[1]) == LAST:
                    self.ends.append(reader)
                elif kind not in SIMPLE:
                    return False
                elif made not in self.maps:
                    simple.append(reader)
                    self.maps.add(made)
                    todo.append(made)
        return all(self._takes(index) for operator in simple for index in operator.inputs)

    def _is_only_reshaped(self, index: int) -> bool:
        """Whether no reader of a mean minds the order of its axes."""
        kinds = {self.graph.kind(reader) for reader in self.graph.readers(index)}
        flat = len(self.graph.shape(index)) == 2
        return index not in self.graph.outputs and (flat or kinds == {"RESHAPE"})

    def _takes(self, index: int) -> bool:
        """Whether an input of maps is one of them, a number, or a gate, which is collected."""
        graph = self.graph
        if index in self.maps or graph.is_number(index):
            return True
        shape = graph.shape(index)
        if len(shape) != 4 or shape[2:] != [1, 1] or graph.constant(index) is not None:
            return False
        self.gates.add(index)
        return True

    def _follow_gates(self) -> bool:
        """Collect what has a number per channel, back to where its shape is given."""
        graph, todo = self.graph, list(self.gates)
        while todo:
            operator = graph.maker(todo.pop())
            if operator is None:
                return False
            kind = graph.kind(operator)
            if kind == "RESHAPE":
                self.shapes.append(operator)
                continue
            if kind not in SIMPLE:
                return False
            for index in operator.inputs:
                if index in self.gates or graph.is_number(index):
                    continue
                if graph.constant(index) is not None or graph.shape(index)[2:] != [1, 1]:
                    return False
                self.gates.add(index)
                todo.append(index)
        return all(
            reader.outputs[0] in self.maps | self.gates
            for index in self.gates
            for reader in graph.readers(index)
        )

    def put_channels_last(self) -> None:
        """Change the shapes, and leave the transpositions out."""
        graph, source = self.graph, self.start.inputs[0]
        for index in self.maps | self.gates:
            shape = graph.shape(index)
            graph.reshape(index, [shape[place] for place in LAST])
        for operator in self.shapes:
            target = graph.shape(operator.outputs[0])
            operator.inputs = [operator.inputs[0], graph.add_constant(target)]
            operator.builtinOptions.newShape = target
        for operator in self.means:
            operator.inputs = [operator.inputs[0], graph.add_constant([1, 2])]
            shape = graph.shape(operator.outputs[0])
            if len(shape) == 4:
                graph.reshape(operator.outputs[0], [shape[place] for place in LAST])
        graph.remove(self.start, source)
        for end in self.ends:
            graph.remove(end, end.inputs[0])


class Graph:
    """The only graph of a model, for changes."""

    def __init__(self, model: Any, schema: Any) -> None:
        """Look at a model."""
        self.model, self.whole = model, model.subgraphs[0]
        names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
        self.kinds = [names[code.builtinCode] for code in model.operatorCodes]
        self.schema = schema

    @property
    def outputs(self) -> list[int]:
        """Tensors that leave the graph."""
        return list(self.whole.outputs)

    def kind(self, operator: Any) -> str:
        """Name of an operator's kind."""
        return self.kinds[operator.opcodeIndex]

    def readers(self, index: int) -> list[Any]:
        """Operators that read a tensor."""
        return [each for each in self.whole.operators if index in each.inputs]

    def maker(self, index: int) -> Any | None:
        """The operator that makes a tensor."""
        return next((each for each in self.whole.operators if index in each.outputs), None)

    def shape(self, index: int) -> list[int]:
        """Shape of a tensor."""
        return [int(side) for side in self.whole.tensors[index].shape]

    def reshape(self, index: int, shape: list[int]) -> None:
        """State another shape of a tensor."""
        tensor = self.whole.tensors[index]
        tensor.shape = shape
        if tensor.shapeSignature is not None:
            tensor.shapeSignature = shape

    def constant(self, index: int) -> list[int] | None:
        """Whole numbers of a constant; none for floats. None: it is not constant."""
        tensor = self.whole.tensors[index]
        data = self.model.buffers[tensor.buffer].data
        if data is None or not len(data):
            return None
        kinds = {self.schema.TensorType.INT32: "<i4", self.schema.TensorType.INT64: "<i8"}
        kind = kinds.get(tensor.type)
        return [] if kind is None else np.asarray(data, np.uint8).view(kind).tolist()

    def is_number(self, index: int) -> bool:
        """Whether a tensor is one constant number."""
        return self.constant(index) is not None and int(np.prod(self.shape(index))) == 1

    def add_constant(self, numbers: list[int]) -> int:
        """Index of a new constant of whole numbers."""
        buffer, tensor = self.schema.BufferT(), self.schema.TensorT()
        buffer.data = np.asarray(numbers, "<i4").view(np.uint8)
        tensor.name = f"order_{len(self.whole.tensors)}".encode()
        tensor.shape, tensor.type = [len(numbers)], self.schema.TensorType.INT32
        tensor.buffer = len(self.model.buffers)
        self.model.buffers.append(buffer)
        self.whole.tensors.append(tensor)
        return len(self.whole.tensors) - 1

    def keeps_shape(self, operator: Any) -> bool:
        """Whether the first input and the output have one shape, inside of the graph."""
        source, target = operator.inputs[0], operator.outputs[0]
        return self.shape(source) == self.shape(target) and target not in self.outputs

    def joins(self, activation: Any) -> bool:
        """Let the convolution before an activation apply it, if nothing else reads its output."""
        source = activation.inputs[0]
        before = self.maker(source)
        if before is None or self.kind(before) not in CONVOLUTIONS or source in self.outputs:
            return False
        options, kinds = before.builtinOptions, self.schema.ActivationFunctionType
        if options.fusedActivationFunction != kinds.NONE or len(self.readers(source)) > 1:
            return False
        options.fusedActivationFunction = vars(kinds)[self.kind(activation)]
        self.whole.operators.remove(activation)
        before.outputs = [activation.outputs[0]]
        return True

    def remove(self, operator: Any, source: int) -> None:
        """Leave an operator out: what read its output reads `source`."""
        target = operator.outputs[0]
        self.whole.operators.remove(operator)
        for reader in self.readers(target):
            reader.inputs = [source if index == target else index for index in reader.inputs]

    def drop_unused(self) -> None:
        """Remove tensors that no operator reads or makes, and renumber the others."""
        whole = self.whole
        used = {*whole.inputs, *whole.outputs}
        for operator in whole.operators:
            used |= {*operator.inputs, *operator.outputs}
        kept = [index for index in range(len(whole.tensors)) if index in used]
        number = {old: new for new, old in enumerate(kept)} | {-1: -1}
        whole.tensors = [whole.tensors[index] for index in kept]
        for operator in whole.operators:
            operator.inputs = [number[index] for index in operator.inputs]
            operator.outputs = [number[index] for index in operator.outputs]
        whole.inputs = [number[index] for index in whole.inputs]
        whole.outputs = [number[index] for index in whole.outputs]
        for signature in self.model.signatureDefs or []:
            for tensor in (*signature.inputs, *signature.outputs):
                tensor.tensorIndex = number[tensor.tensorIndex]


def put_channels_last(model: Any, schema: Any) -> bool:
    """Change every part of a model that allows it. Returns whether there was one."""
    graph, changed = Graph(model, schema), False
    for operator in list(graph.whole.operators):
        if graph.kind(operator) != "TRANSPOSE" or graph.constant(operator.inputs[1]) != FIRST:
            continue
        part = Part(graph, operator)
        if part.fits:
            part.put_channels_last()
            changed = True
    for operator in list(graph.whole.operators):
        if changed and graph.kind(operator) == "RESHAPE" and graph.keeps_shape(operator):
            graph.remove(operator, operator.inputs[0])
        elif graph.kind(operator) in CLIPS and graph.joins(operator):
            changed = True
    if changed:
        graph.drop_unused()
    return changed
