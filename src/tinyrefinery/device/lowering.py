"""From the operations of PyTorch to the int8 graph that the LiteRT converter makes of them.

The converter stores images with the channels last and fuses batch normalization and activations
into convolutions. How well it does depends on the network: where it can't move a change of layout
out of the way, it copies tensors and computes some activations in float. So there are two graphs:
the plain one, without such copies, and the careful one, with a copy wherever one can be.
"""

from collections import deque
from collections.abc import Callable, Sequence

from tinyrefinery.device.file_form import FileForm
from tinyrefinery.device.graph_writer import BY_QUANTIZER, FLOAT32, INT32, LAST, GraphWriter
from tinyrefinery.device.litert_graph import Graph
from tinyrefinery.device.padding import is_same, is_same_if_wider, padded, pair
from tinyrefinery.device.trace import Call, Ref, Trace

_SAME = ("detach", "clone", "contiguous", "alias", "dropout", "to", "_to_copy", "lift_fresh")
"""Operations that leave the numbers as they are."""
_RESHAPES = ("view", "reshape", "_unsafe_view", "unsqueeze", "squeeze", "flatten", "expand")
_FUSED = ("relu", "hardtanh", "clamp", "clamp_min")
"""Activations that the operator before them may take in."""
_ACTIVATIONS = {
    **{"relu": "RELU", "hardtanh": "RELU6", "clamp": "RELU6", "clamp_min": "RELU"},
    **{"sigmoid": "LOGISTIC", "hardswish": "HARD_SWISH", "tanh": "TANH"},
    **{"leaky_relu": "LEAKY_RELU", "elu": "ELU"},
}
_IN_8_BITS = ("RELU", "LOGISTIC", "HARD_SWISH")
"""Activations that the quantizer takes; it computes the others in float."""
_ARITHMETIC = {"add": "ADD", "sub": "SUB", "mul": "MUL", "div": "DIV"}


class UnknownOperationError(Exception):
    """An operation whose LiteRT counterpart is not known here."""


def lower(
    traced: Trace, form: FileForm, *, copies: bool, careful: bool, breadth_first: bool, moved: int
) -> Graph:
    """The int8 graph of a pass, with uint8 pixels in and float probabilities out.

    Args:
        traced: from `trace`.
        form: of the file.
        copies: whether the inputs of pooling and concatenation are copied to another scale.
        careful: whether to count every copy that the converter may make, to another layout and to
            float too.
        breadth_first: whether operators run as soon as their inputs are there; else in PyTorch's
            order. The converter does one or the other.
        moved: when copies to another layout are added, `EARLY` or `FIRST`. The converter numbers
            some before what they are made of. Then the planner may need three buffers of one size
            where two would do.

    Raises:
        UnknownOperationError: naming the operation.
    """
    lowering = _Lowering(traced, form, copies=copies, careful=careful, moved=moved)
    return lowering.graph(breadth_first=breadth_first)


def _last(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape with the channels last: (N, C, H, W) -> (N, H, W, C)."""
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else tuple(shape)


class _Lowering:
    """One graph in the making."""

    def __init__(
        self, traced: Trace, form: FileForm, *, copies: bool, careful: bool, moved: int
    ) -> None:
        self.trace, self.form = traced, form
        self.copies, self.careful, self.moved = copies, careful, moved
        self.writer = GraphWriter()
        self.tensors: dict[int, int] = {}
        """Number of the tensor of each value."""
        self.made_by = traced.made_by
        self.readers = traced.readers

    def graph(self, *, breadth_first: bool) -> Graph:
        """Lower every call between the pixels and the probabilities."""
        image, output = self.trace.values[self.trace.image], self.trace.values[self.trace.output]
        pixels = self.writer.tensor(_last(image.shape), added=LAST)
        shifted = self.writer.operator("QUANTIZE", [pixels], _last(image.shape))
        self.tensors[self.trace.image] = shifted
        if not self.form.scaled:
            self.tensors[self.trace.image] = self._convolve(
                "DEPTHWISE_CONV_2D", shifted, (1, 1, 1, image.shape[1]), _last(image.shape)
            )
        calls = _breadth_first(self.trace) if breadth_first else self.trace.calls
        for call in calls:
            self._lower(call)
        logits = self.tensors[self.trace.output]
        floats = self._dequantize(logits, output.shape)
        last = self.writer.operator("SOFTMAX", [floats], output.shape, FLOAT32)
        return self.writer.graph([pixels], [last])

    def _lower(self, call: Call) -> None:
        name = call.name
        if name in _SAME or (name in _FUSED and self._is_fused(call)):
            self.tensors[call.outputs[0]] = self._tensor(call.inputs[0])
        elif name in _ACTIVATIONS:
            self._make(call, lambda inputs: self._activation(_ACTIVATIONS[name], inputs[0], call))
        elif name in _ARITHMETIC:
            self._make(call, lambda inputs: self._arithmetic(_ARITHMETIC[name], inputs, call))
        elif name in _RESHAPES:
            self._make(call, lambda inputs: self._flatten(inputs, call))
        elif name in _TABLE:
            _TABLE[name](self, call)
        else:
            raise UnknownOperationError(name)

    def _tensor(self, value: int) -> int:
        """The tensor of a value; a constant is written where it is read first."""
        if value not in self.tensors:
            assert self.trace.values[value].is_constant
            self.tensors[value] = self.writer.constant(self._shape(value))
        return self.tensors[value]

    def _shape(self, value: int) -> tuple[int, ...]:
        return _last(self.trace.values[value].shape)

    def _out(self, call: Call) -> tuple[int, ...]:
        return self._shape(call.outputs[0])

    def _op(self, kind: str, inputs: Sequence[int], shape: Sequence[int]) -> int:
        return self.writer.operator(kind, inputs, shape)

    def _make(self, call: Call, build: Callable[[list[int]], int]) -> None:
        """Lower a call that may run in the other layout: with copies before and behind it."""
        inputs = [self._tensor(number) for number in call.inputs]
        shapes = [self._shape(number) for number in call.inputs]
        if self.careful:
            inputs = [
                self._copy("TRANSPOSE", tensor, shape) if not self._is_small(shape) else tensor
                for tensor, shape in zip(inputs, shapes, strict=True)
            ]
        output = build(inputs)
        if self.careful and not self._is_small(self._out(call)):
            output = self._copy("TRANSPOSE", output, self._out(call))
        self.tensors[call.outputs[0]] = output

    def _copy(self, kind: str, tensor: int, shape: tuple[int, ...]) -> int:
        if self.writer.tensors[tensor].is_constant:
            return tensor
        if kind == "QUANTIZE":
            return self.writer.operator(kind, [tensor], shape, added=BY_QUANTIZER)
        order = self.writer.constant((4,), INT32)
        return self.writer.operator(kind, [tensor, order], shape, added=self.moved)

    @staticmethod
    def _is_small(shape: Sequence[int]) -> bool:
        """Whether it has one number per channel, so that its layout doesn't matter."""
        return len(shape) != 4 or shape[1] * shape[2] == 1

    def _is_fused(self, call: Call) -> bool:
        """Whether an activation is part of the operator before it."""
        if self.careful or not self._is_alone(call.inputs[0]):
            return False
        if call.name in ("hardtanh", "clamp") and not _is_relu6(call):
            return False
        readers = [each.name for each in self.readers.get(call.outputs[0], ())]
        if "mean" in readers and (self.copies or call.name != "relu"):
            return False
        before = self._before(call.inputs[0])
        return before in ("convolution", "native_batch_norm", "add", "addmm")

    def _before(self, value: int) -> str:
        """Name of the operation that makes a value."""
        return self.made_by[value].name if value in self.made_by else ""

    def _is_alone(self, value: int) -> bool:
        """Whether one operation reads it, and nothing else."""
        return len(self.readers.get(value, ())) == 1 and value != self.trace.output

    def _activation(self, kind: str, tensor: int, call: Call) -> int:
        shape = self._out(call)
        if call.name in _FUSED and not self.careful and not self._is_small(shape):
            tensor = self._copy("TRANSPOSE", tensor, shape)
        if kind in _IN_8_BITS:
            return self._op(kind, [tensor], shape)
        floats = self._dequantize(tensor, shape)
        changed = self.writer.operator(kind, [floats], shape, FLOAT32)
        return self._copy("QUANTIZE", changed, shape)

    def _dequantize(self, tensor: int, shape: Sequence[int]) -> int:
        return self.writer.operator("DEQUANTIZE", [tensor], shape, FLOAT32, BY_QUANTIZER)

    def _arithmetic(self, kind: str, inputs: list[int], call: Call) -> int:
        if len(inputs) == 1:
            inputs = [*inputs, self.writer.constant((1,))]
        return self._op(kind, inputs, self._out(call))

    def _reshape(self, kind: str, inputs: list[int], call: Call) -> int:
        shape = self._out(call)
        return self._op(kind, [inputs[0], self.writer.constant((len(shape),), INT32)], shape)

    def _flatten(self, inputs: list[int], call: Call) -> int:
        """Another shape, of the channels first."""
        source = self._shape(call.inputs[0])
        if not self._is_small(source):
            inputs = [self._copy("TRANSPOSE", inputs[0], source)]
        return self._reshape("RESHAPE", inputs, call)

    def _convolve(
        self, kind: str, tensor: int, weights: tuple[int, ...], shape: tuple[int, ...]
    ) -> int:
        parts = [self.writer.constant(weights), self.writer.constant(shape[-1:], INT32)]
        return self._op(kind, [tensor, *parts], shape)

    def _pad(self, kind: str, tensor: int, shape: Sequence[int]) -> int:
        parts = [self.writer.constant((4, 2), INT32)]
        parts += [self.writer.constant((1,))] if kind == "PADV2" else []
        return self._op(kind, [tensor, *parts], shape)

    def convolution(self, call: Call) -> None:
        """A convolution, with the padding that its own scheme can't hold before it."""
        _, weights, _, stride, padding, dilation, transposed, _, groups = call.arguments[:9]
        if transposed or len(stride) != 2:
            raise UnknownOperationError("transposed convolution")
        source, out = self._shape(call.inputs[0]), self._out(call)
        outputs, inner, *kernel = self.trace.values[weights.number].shape
        tensor = self._tensor(call.inputs[0])
        window = (source[1:3], kernel, stride, padding, dilation)
        if any(padding) and not is_same(*window):
            if self.form.wide and is_same_if_wider(*window):
                kernel = [side + 1 for side in kernel]
            else:
                tensor = self._pad("PAD", tensor, padded(source, padding))
        channels = source[-1]
        if groups == channels and inner == 1 and groups > 1:
            shape = (1, *kernel, outputs)
            self.tensors[call.outputs[0]] = self._convolve("DEPTHWISE_CONV_2D", tensor, shape, out)
        elif groups == 1:
            shape = (outputs, *kernel, inner)
            self.tensors[call.outputs[0]] = self._convolve("CONV_2D", tensor, shape, out)
        else:
            raise UnknownOperationError("grouped convolution")

    def batch_norm(self, call: Call) -> None:
        """Part of the convolution before it, else a product and a sum per channel."""
        source, out = call.inputs[0], self._out(call)
        tensor = self._tensor(source)
        if self._before(source) == "convolution" and self._is_alone(source):
            self.tensors[call.outputs[0]] = tensor
            return
        if self.careful and not self._is_small(out):
            tensor = self._copy("TRANSPOSE", tensor, out)
        for kind in ("MUL", "ADD"):
            tensor = self._op(kind, [tensor, self.writer.constant((1, 1, 1, out[-1]))], out)
        if self.careful and not self._is_small(out):
            tensor = self._copy("TRANSPOSE", tensor, out)
        self.tensors[call.outputs[0]] = tensor

    def pool(self, call: Call) -> None:
        """Pooling. Padding is a copy, and so is a change of scale before it."""
        kind = "AVERAGE_POOL_2D" if call.name == "avg_pool2d" else "MAX_POOL_2D"
        source = self._shape(call.inputs[0])
        padding = pair(call.arguments[3] if len(call.arguments) > 3 else 0)
        tensor = self._tensor(call.inputs[0])
        if self.careful:
            tensor = self._copy("TRANSPOSE", tensor, source)
        if self.copies:
            tensor = self._copy("QUANTIZE", tensor, source)
        if any(padding):
            tensor = self._pad("PADV2", tensor, padded(source, padding))
        output = self._op(kind, [tensor], self._out(call))
        if self.careful:
            if any(padding):  # the mean of fewer numbers at the border is scaled again
                scales = self.writer.constant(self._out(call), FLOAT32)
                output = self._op("MUL", [output, scales], self._out(call))
            output = self._copy("TRANSPOSE", output, self._out(call))
        self.tensors[call.outputs[0]] = output

    def adaptive_pool(self, call: Call) -> None:
        """Average pooling to a given size, where windows are equal."""
        source, out = self._shape(call.inputs[0]), self._out(call)
        if source[1] % out[1] or source[2] % out[2]:
            raise UnknownOperationError("adaptive pooling with windows of two sizes")
        self._make(call, lambda inputs: self._op("AVERAGE_POOL_2D", inputs, out))

    def mean(self, call: Call) -> None:
        """The mean of each channel."""
        out = self._out(call)
        source = self._shape(call.inputs[0])
        inputs = [self._tensor(call.inputs[0])]
        if self.careful and not self._is_small(source):
            inputs = [self._copy("TRANSPOSE", inputs[0], source)]
        tensor = self._op("MEAN", [*inputs, self.writer.constant((2,), INT32)], out)
        self.tensors[call.outputs[0]] = self._reshape("RESHAPE", [tensor], call)

    def silu(self, call: Call) -> None:
        """The product of a number and its sigmoid."""

        def build(inputs: list[int]) -> int:
            gate = self._op("LOGISTIC", inputs, self._out(call))
            return self._op("MUL", [*inputs, gate], self._out(call))

        self._make(call, build)

    def hardsigmoid(self, call: Call) -> None:
        """relu6(x + 3) / 6."""

        def build(inputs: list[int]) -> int:
            """The operators on their inputs; returns the output."""
            shape = self._out(call)
            tensor = self._op("ADD", [*inputs, self.writer.constant((1,))], shape)
            if self.careful:
                tensor = self._activation("RELU6", tensor, call)
            return self._op("MUL", [tensor, self.writer.constant((1,))], shape)

        self._make(call, build)

    def linear(self, call: Call) -> None:
        """A linear layer; the bias comes first in PyTorch's call."""
        images, weights = call.inputs[-2:]
        inner, outputs = self.trace.values[weights].shape
        tensor = self._tensor(images)
        parts = [self.writer.constant((outputs, inner)), self.writer.constant((outputs,), INT32)]
        self.tensors[call.outputs[0]] = self._op(
            "FULLY_CONNECTED", [tensor, *parts], self._out(call)
        )

    def cat(self, call: Call) -> None:
        """A concatenation. Inputs of other scales are copied to its own."""

        def build(inputs: list[int]) -> int:
            """The operators on their inputs; returns the output."""
            copies = inputs
            if self.copies:
                shapes = [self._shape(number) for number in call.inputs]
                pairs = zip(inputs, shapes, strict=True)
                copies = [self._copy("QUANTIZE", tensor, shape) for tensor, shape in pairs]
            return self._op("CONCATENATION", copies, self._out(call))

        self._make(call, build)

    def split(self, call: Call) -> None:
        """Parts of a tensor."""
        source = self._tensor(call.inputs[0])
        for number in call.outputs:
            shape = self._shape(number)
            tensor = self._op("STRIDED_SLICE", [source, self.writer.constant((4,), INT32)], shape)
            if self.careful:
                tensor = self._copy("TRANSPOSE", tensor, shape)
            self.tensors[number] = tensor

    def permute(self, call: Call) -> None:
        """Another order of the axes."""
        self._make(call, lambda inputs: self._reshape("TRANSPOSE", inputs, call))

    def pad(self, call: Call) -> None:
        """Zeros around an image."""
        self._make(call, lambda inputs: self._pad("PAD", inputs[0], self._out(call)))


_TABLE: dict[str, Callable[[_Lowering, Call], None]] = {
    "convolution": _Lowering.convolution,
    "native_batch_norm": _Lowering.batch_norm,
    "_native_batch_norm_legit_no_training": _Lowering.batch_norm,
    "max_pool2d_with_indices": _Lowering.pool,
    "avg_pool2d": _Lowering.pool,
    "_adaptive_avg_pool2d": _Lowering.adaptive_pool,
    "mean": _Lowering.mean,
    "silu": _Lowering.silu,
    "hardsigmoid": _Lowering.hardsigmoid,
    "addmm": _Lowering.linear,
    "mm": _Lowering.linear,
    "cat": _Lowering.cat,
    "split": _Lowering.split,
    "split_with_sizes": _Lowering.split,
    "chunk": _Lowering.split,
    "slice": _Lowering.split,
    "permute": _Lowering.permute,
    "transpose": _Lowering.permute,
    "constant_pad_nd": _Lowering.pad,
}


def _breadth_first(traced: Trace) -> list[Call]:
    """The calls, each as soon as what it reads is there, the earliest ready first."""
    made, readers = traced.made_by, traced.readers
    waits = {id(call): len({n for n in call.inputs if n in made}) for call in traced.calls}
    ready = deque(call for call in traced.calls if not waits[id(call)])
    order = []
    while ready:
        call = ready.popleft()
        order.append(call)
        for reader in (each for number in call.outputs for each in readers.get(number, ())):
            waits[id(reader)] -= 1
            if not waits[id(reader)]:
                ready.append(reader)
    return order


def _is_relu6(call: Call) -> bool:
    bounds = [*call.arguments[1:3], *call.options.values()]
    return [float(bound) for bound in bounds if not isinstance(bound, Ref)][:2] == [0.0, 6.0]
