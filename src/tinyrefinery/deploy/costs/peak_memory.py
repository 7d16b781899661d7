"""The memory that activations of a network need at once, without running it.

A walk over the operations in their order. A tensor is in memory from the operation that makes it
to the last one that reads it. Normalization, activations, views, scales and biases take no memory
of their own: runtimes compute them in place. Numbers take 4 bytes, signs a bit. Scratch memory of
the kernels and of the runtime comes on top.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from tinyrefinery.device.trace import Call, Trace, trace

_NORMS = ("native_batch_norm", "_native_batch_norm_legit_no_training")
"""Their other outputs are statistics, which are not needed."""
_IN_PLACE = frozenset(
    {
        *_NORMS,
        *("relu", "hardtanh", "clamp", "clamp_min", "prelu", "_prelu_kernel", "leaky_relu"),
        *("hardswish", "hardsigmoid", "sigmoid", "silu", "gelu", "tanh", "elu"),
        *("view", "_unsafe_view", "reshape", "flatten", "permute", "transpose", "t", "expand"),
        *("squeeze", "unsqueeze", "slice", "select", "alias", "detach", "clone", "_to_copy"),
        *("split", "split_with_sizes", "chunk", "unbind", "as_strided", "ge"),
    }
)
"""Operations whose outputs are in the memory of their first input."""
_ARITHMETIC = ("add", "sub", "mul", "div")
"""In place where the other operand is a constant, such as a scale per channel."""
_FLOAT = 4
"""Bytes of a float32 number."""


@dataclass(frozen=True)
class Lifetime:
    """A tensor in memory from one step to another, both included."""

    bytes: int
    first: int
    last: int


def peak_memory(network: nn.Module, channels: int, size: tuple[int, int]) -> int:
    """Bytes of the activations that are in memory at once, for one image, at most.

    Args:
        network: images (B, C, H, W) -> (B, K); it is not changed.
        channels: of its images.
        size: height and width of its images in pixels.
    """
    return most_at_once(_lifetimes(trace(network, channels, size)))


def most_at_once(lifetimes: Iterable[Lifetime]) -> int:
    """The largest sum of bytes over all steps."""
    changes: dict[int, int] = {}
    for each in lifetimes:
        changes[each.first] = changes.get(each.first, 0) + each.bytes
        changes[each.last + 1] = changes.get(each.last + 1, 0) - each.bytes
    most = now = 0
    for step in sorted(changes):
        now += changes[step]
        most = max(most, now)
    return most


def _lifetimes(traced: Trace) -> list[Lifetime]:
    """When each tensor is in memory: the image from step 0, operation i makes it in step i + 1."""
    home = {traced.image: traced.image}  # of each value, the value in whose memory it is
    first, last = {traced.image: 0}, {traced.image: 0}
    size = {traced.image: _FLOAT * _numbers(traced.values[traced.image].shape)}
    for step, call in enumerate(traced.calls, start=1):
        reads = [number for number in call.inputs if number in home]
        for number in reads:
            last[home[number]] = step
        signs, shares = _signs_of(call, traced), _is_in_place(call, traced)
        for number in call.outputs[:1] if call.name in _NORMS else call.outputs:
            home[number] = home[reads[0]] if shares and reads else number
            if home[number] != number:
                continue
            count = _numbers(traced.values[number].shape)
            size[number] = -(-count // 8) if signs else _FLOAT * count
            first[number] = last[number] = step
    if traced.output in home:
        last[home[traced.output]] = len(traced.calls)
    return [Lifetime(size[number], first[number], last[number]) for number in size]


def _is_in_place(call: Call, traced: Trace) -> bool:
    if call.name in _ARITHMETIC:
        return sum(not traced.values[number].is_constant for number in call.inputs) == 1
    return call.name in _IN_PLACE


def _signs_of(call: Call, traced: Trace) -> bool:
    """Whether a call is the second half of a sign: a choice between two constants."""
    if call.name != "where" or len(call.inputs) != 3:
        return False
    condition, *choices = call.inputs
    made = traced.made_by.get(condition)
    chosen = all(traced.values[number].is_constant for number in choices)
    return chosen and made is not None and made.name == "ge"


def _numbers(shape: Sequence[int]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count
