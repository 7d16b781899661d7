"""Places of buffers in one block of memory, closer together than the greedy planner puts them.

In a chain of layers, a buffer is needed at the same time as its neighbors only. So neighbors lie at
opposite ends of the block, and the block is as small as the largest pair. The greedy planner puts
each buffer at the lowest free place, which may take a third more.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from tinyrefinery.device.arena import Buffer, activations, aligned, buffers_of, peak, place
from tinyrefinery.device.litert_graph import Graph

_STEPS = 8
"""Sizes of the block that are tried, from the least possible to what the greedy planner needs."""
_WORK = 1_000_000
"""Pairs of buffers that are looked at, about. Of very large networks, fewer ways are tried."""
_ORDERS: tuple[Callable[[Buffer, int], tuple[int, ...]], ...] = (
    lambda buffer, _: (buffer.first, -buffer.bytes, buffer.last),
    lambda buffer, _: (-buffer.last, -buffer.bytes, -buffer.first),
    lambda buffer, _: (-buffer.bytes, buffer.first, buffer.last),
    lambda buffer, _: (-buffer.bytes, -buffer.last, -buffer.first),
    lambda buffer, _: (buffer.first - buffer.last, -buffer.bytes, buffer.first),
    lambda buffer, most: (-most, buffer.first - buffer.last, -buffer.bytes, buffer.first),
    lambda buffer, most: (-most, buffer.first, -buffer.bytes, buffer.last),
    lambda buffer, most: (-most, -buffer.bytes, buffer.first, buffer.last),
)
"""Orders in which buffers are placed, by a buffer and the bytes that are needed while it is, at
most. None depends on how buffers are numbered."""


def with_places(graph: Graph) -> Graph:
    """A graph with a place for each activation, or as it is if the planner needs no more.

    The int8 image lies in the place of the uint8 image. The operator between them changes number
    after number, and nothing else reads the uint8 image.
    """
    numbers = [*activations(graph)]
    found = dict(zip(numbers, buffers_of(graph), strict=False))
    pair = _image_pair(graph)
    if pair is not None:
        pixels, shifted = pair
        found[pixels] = replace(found[pixels], last=found.pop(shifted).last)
    scratch = buffers_of(graph)[len(numbers) :]
    starts = lay_out([*found.values(), *scratch])
    places = dict(zip(found, starts, strict=False))
    if pair is not None:
        places[pair[1]] = places[pair[0]]
    placed = replace(graph, places=places)
    return placed if peak(buffers_of(placed)) < peak(buffers_of(graph)) else graph


def _image_pair(graph: Graph) -> tuple[int, int] | None:
    """The uint8 image and the int8 image, if one operator alone lies between them."""
    first = graph.operators[0] if graph.operators else None
    if first is None or first.kind != "QUANTIZE" or len(graph.inputs) != 1:
        return None
    pixels, shifted = graph.inputs[0], first.outputs[0]
    is_alone = [pixels in operator.inputs for operator in graph.operators].count(True) == 1
    same = graph.tensors[pixels].bytes == graph.tensors[shifted].bytes
    if first.inputs == (pixels,) and is_alone and same and shifted not in graph.outputs:
        return pixels, shifted
    return None


def lay_out(buffers: Sequence[Buffer]) -> list[int]:
    """Where each buffer starts, in the smallest block that was found.

    Args:
        buffers: none of them has a place yet.
    """
    needed = _needed(buffers)
    least, most = max(needed, default=0), peak(buffers)
    together = [_together(buffers, number) for number in range(len(buffers))]
    left = _WORK // max(1, sum(map(len, together)))  # tries
    for step in range(_STEPS):
        room = aligned(least + (most - least) * step // _STEPS)
        for order in _ORDERS if room < most else ():
            numbers = sorted(range(len(buffers)), key=lambda n: order(buffers[n], needed[n]))
            for at_ends in (True, False):
                left -= 1
                if left < 0:
                    return place(buffers)
                found = _within(room, numbers, buffers, together, at_ends=at_ends)
                if found is not None:
                    return found
    return place(buffers)


def _needed(buffers: Sequence[Buffer]) -> list[int]:
    """Bytes that are needed at one time while each buffer is, at most."""
    totals = [
        sum(aligned(b.bytes) for b in buffers if b.first <= step <= b.last)
        for step in range(max((b.last for b in buffers), default=0) + 1)
    ]
    return [max(totals[b.first : b.last + 1]) for b in buffers]


def _together(buffers: Sequence[Buffer], number: int) -> list[int]:
    """The buffers that are needed at the same time as one."""
    one = buffers[number]
    return [
        other
        for other, buffer in enumerate(buffers)
        if other != number and buffer.first <= one.last and one.first <= buffer.last
    ]


def _within(
    room: int,
    numbers: Sequence[int],
    buffers: Sequence[Buffer],
    together: Sequence[Sequence[int]],
    *,
    at_ends: bool,
) -> list[int] | None:
    """Places in a block of this size, by buffers in turn; None if one does not fit."""
    starts: dict[int, int] = {}
    for number in numbers:
        size = aligned(buffers[number].bytes)
        taken = sorted(
            (starts[other], starts[other] + aligned(buffers[other].bytes))
            for other in together[number]
            if other in starts
        )
        gaps = _gaps(taken, room, size)
        if not gaps:
            return None
        low, high = gaps[0][0], gaps[-1][1] - size
        # The end of the block that is nearer: neighbors come to lie at both.
        starts[number] = high if at_ends and room - high - size < low else low
    return [starts[number] for number in range(len(buffers))]


def _gaps(taken: Sequence[tuple[int, int]], room: int, size: int) -> list[tuple[int, int]]:
    """Free parts of the block, from the lowest up, that hold this many bytes."""
    found, end = [], 0
    for low, high in [*taken, (room, room)]:
        if low - end >= size:
            found.append((end, low))
        end = max(end, high)
    return found
