"""The operations of a network's forward pass, in the order in which PyTorch runs them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

from tinyrefinery.layers.modes import evaluation_mode


@dataclass(frozen=True)
class Value:
    """A tensor of the pass."""

    shape: tuple[int, ...]
    is_constant: bool
    """Whether it depends on weights alone, not on the image."""


@dataclass(frozen=True)
class Call:
    """One operation."""

    name: str
    """Of PyTorch's own operators, without the underscore of in-place ones, e.g. `convolution`."""
    arguments: tuple[Any, ...]
    """As PyTorch was called. Tensors are replaced by `Ref`s."""
    options: Mapping[str, Any]
    outputs: tuple[int, ...]
    """Numbers of the values that it makes."""

    @property
    def inputs(self) -> tuple[int, ...]:
        """Numbers of the values that it reads, in the order of the arguments."""
        found: list[int] = []
        for argument in (*self.arguments, *self.options.values()):
            nested = argument if isinstance(argument, list | tuple) else [argument]
            found += [each.number for each in nested if isinstance(each, Ref)]
        return tuple(found)


@dataclass(frozen=True)
class Ref:
    """A tensor among the arguments of a call: the number of a value."""

    number: int


@dataclass(frozen=True)
class Trace:
    """A forward pass."""

    values: tuple[Value, ...]
    calls: tuple[Call, ...]
    """In the order in which they ran, without those on weights alone."""
    image: int
    """Number of the input."""
    output: int
    """Number of the output."""

    @cached_property
    def made_by(self) -> dict[int, Call]:
        """The call that makes each value."""
        return {number: call for call in self.calls for number in call.outputs}

    @cached_property
    def readers(self) -> dict[int, list[Call]]:
        """The calls that read each value, in their order."""
        found: dict[int, list[Call]] = {}
        for call in self.calls:
            for number in dict.fromkeys(call.inputs):
                found.setdefault(number, []).append(call)
        return found


def trace(network: nn.Module, channels: int, size: tuple[int, int]) -> Trace:
    """Run a network on shapes alone and record what PyTorch would compute.

    Args:
        network: images (1, C, H, W) -> (1, K); it is not changed.
        channels: of the image.
        size: height, width of the image in pixels.
    """
    recorder = _Recorder()
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    empty = {name: torch.empty_like(tensor, device="meta") for name, tensor in state.items()}
    image = torch.empty(1, channels, *size, device="meta")
    first = recorder.number(image, is_constant=False)
    with evaluation_mode(network), torch.no_grad(), recorder:
        output = functional_call(network, empty, image)
    return Trace(
        tuple(recorder.values),
        tuple(recorder.calls),
        first,
        recorder.number(output, is_constant=False),
    )


class _Recorder(TorchDispatchMode):
    """Records calls. An in-place operation makes a new value of the same tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[Value] = []
        self.calls: list[Call] = []
        self._numbers: dict[int, int] = {}
        self._alive: list[Tensor] = []  # so that no other tensor gets the same id

    def number(self, tensor: Tensor, *, is_constant: bool) -> int:
        """The number of a tensor's value; a tensor that no call made is as stated."""
        if id(tensor) not in self._numbers:
            self._add(tensor, is_constant=is_constant)
        return self._numbers[id(tensor)]

    def _add(self, tensor: Tensor, *, is_constant: bool) -> int:
        self._alive.append(tensor)
        self._numbers[id(tensor)] = len(self.values)
        self.values.append(Value(tuple(tensor.shape), is_constant))
        return self._numbers[id(tensor)]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation of PyTorch, and record it."""
        kwargs = kwargs or {}
        arguments = tuple(self._replaced(each) for each in args)
        options = {name: self._replaced(each) for name, each in kwargs.items()}
        results = func(*args, **kwargs)
        found = results if isinstance(results, list | tuple) else [results]
        tensors = [each for each in found if isinstance(each, Tensor)]
        call = Call(func.overloadpacket.__name__.rstrip("_"), arguments, options, ())
        is_constant = all(self.values[number].is_constant for number in call.inputs)
        outputs = tuple(self._add(each, is_constant=is_constant) for each in tensors)
        if not is_constant:
            self.calls.append(Call(call.name, arguments, options, outputs))
        return results

    def _replaced(self, argument: Any) -> Any:
        if isinstance(argument, Tensor):
            return Ref(self.number(argument, is_constant=True))
        if isinstance(argument, list | tuple):
            return type(argument)(self._replaced(each) for each in argument)
        return argument
