"""What a network costs at most on a device, foretold from its operations without conversion.

The converter is slow and lives in an environment of its own. This takes a fraction of a second and
is never below what the converted file costs: it lowers the network in every way in which the
converter may, and takes the most. Tests compare it with converted files.
"""

import json
from collections.abc import Sequence

from torch import nn

from tinyrefinery.device.arena import Arena, arena_of
from tinyrefinery.device.device_cost import DeviceCost, graph_macs
from tinyrefinery.device.excess import excesses
from tinyrefinery.device.file_form import FileForm, forms_of
from tinyrefinery.device.graph_writer import EARLY, FIRST
from tinyrefinery.device.layout import with_places
from tinyrefinery.device.litert_graph import Graph
from tinyrefinery.device.lowering import UnknownOperationError, lower
from tinyrefinery.device.trace import Call, Trace, trace
from tinyrefinery.errors import RefineryError
from tinyrefinery.options.budget import Budget

_FILE, _TENSOR, _CHANNEL = 4096, 208, 24
"""Bytes of a file beside its weights: once, per tensor, and per output channel. A channel has two
scales of 4 bytes and two zero points of 8, of its weights and of its bias."""
_METADATA = 4096
"""Bytes of the metadata beside the names of the classes."""
_SLACK = 4
"""Where the converter may copy, the head gets a quarter more: the planner may leave gaps."""
_WITH_CHANNELS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_NORMS = ("native_batch_norm", "_native_batch_norm_legit_no_training")
_PLAIN = ("convolution", "add", "mean", "view", "addmm", "max_pool2d_with_indices")
"""Operations that the converter never copies for. Others are plain where they can be fused."""


class NotForetoldError(RefineryError):
    """The network has an operation whose cost is known only after conversion."""


def foretell_cost(
    network: nn.Module,
    size: tuple[int, int],
    channels: int,
    classes: Sequence[str] = (),
    form: FileForm = FileForm(),  # noqa: B008  it is frozen
) -> DeviceCost:
    """The most that a network costs as an int8 LiteRT file; nothing is converted or run.

    Args:
        network: images (B, C, H, W) -> logits (B, K), with weights or on the meta device.
        size: height and width of its images in pixels.
        channels: of its images.
        classes: their names, which the file contains.
        form: of the file.

    Raises:
        NotForetoldError: naming the operation, if it has one that is not known here.
    """
    return _foretell(trace(network, channels, size), classes, form)


def foretell_within(
    budget: Budget,
    network: nn.Module,
    size: tuple[int, int],
    channels: int,
    classes: Sequence[str],
    normalization: tuple[Sequence[float], Sequence[float]],
) -> DeviceCost:
    """The same, in the form that an export takes with this budget.

    Args:
        budget: of the file.
        network: see `foretell_cost`.
        size: see `foretell_cost`.
        channels: see `foretell_cost`.
        classes: see `foretell_cost`.
        normalization: mean and standard deviation of each channel.

    Raises:
        NotForetoldError: naming the operation, if it has one that is not known here.
    """
    traced = trace(network, channels, size)
    costs = (_foretell(traced, classes, form) for form in forms_of(budget, *normalization))
    first = next(costs)
    if not excesses(budget, first):
        return first
    return next((cost for cost in costs if not excesses(budget, cost)), first)


def _foretell(traced: Trace, classes: Sequence[str], form: FileForm) -> DeviceCost:
    try:
        graphs = _graphs(traced, form)
    except UnknownOperationError as error:
        raise NotForetoldError(
            f"has an operation whose cost is known only after conversion: {error}. To convert it "
            "without training: tinyrefinery bench"
        ) from error
    arenas = [arena_of(with_places(graph) if form.placed else graph) for graph in graphs]
    head = max(arena.head for arena in arenas)
    if not _is_plain(traced):
        head += head // _SLACK
    flash = max(map(_flash, graphs)) + _METADATA + len(json.dumps(list(classes)))
    tail = max(arena.tail for arena in arenas)
    return DeviceCost(flash, Arena(head, tail), max(map(graph_macs, graphs)))


def _graphs(traced: Trace, form: FileForm) -> list[Graph]:
    ways = [(False, False), (True, False)]
    ways += [] if _is_plain(traced) else [(True, True)]
    orders = (EARLY,) if _is_plain(traced) else (EARLY, FIRST)
    return [
        lower(traced, form, copies=copies, careful=careful, breadth_first=first, moved=moved)
        for copies, careful in ways
        for first in (False, True)
        for moved in orders
    ]


def _is_plain(traced: Trace) -> bool:
    """Whether the converter never copies for any of the operations."""
    return all(_is_plain_call(call, traced) for call in traced.calls)


def _is_plain_call(call: Call, traced: Trace) -> bool:
    before = traced.made_by.get(call.inputs[0])
    name = "" if before is None else before.name
    after = {reader.name for reader in traced.readers.get(call.outputs[0], ())}
    if call.name in _NORMS:
        return name == "convolution"
    if call.name == "relu":
        return name in ("convolution", "add", "addmm", *_NORMS)
    if call.name == "hardtanh":
        return after <= {"convolution", "mean"}
    return call.name in _PLAIN


def _flash(graph: Graph) -> int:
    weights = sum(tensor.bytes for tensor in graph.tensors if tensor.is_constant)
    channels = sum(
        graph.tensors[operator.outputs[0]].shape[-1]
        for operator in graph.operators
        if operator.kind in _WITH_CHANNELS
    )
    return weights + _FILE + _TENSOR * len(graph.tensors) + _CHANNEL * channels
