"""The operators of a LiteRT file that have constants or products, and its memory."""

from pathlib import Path

from tinyrefinery.deploy.costs.layer_costs import LayerCost
from tinyrefinery.device.arena import arena_of
from tinyrefinery.device.device_cost import operator_macs
from tinyrefinery.device.litert_graph import read_graph
from tinyrefinery.errors import CheckpointError


def litert_costs(path: Path) -> tuple[list[LayerCost], int, tuple[int, ...]]:
    """The operators of a file, bytes of the head of its arena, and the shape of its input.

    Raises:
        CheckpointError: if the file can't be read, or its input is not an image.
    """
    graph = read_graph(path)
    image = graph.tensors[graph.inputs[0]].shape if graph.inputs else ()
    if len(image) != 4:
        raise CheckpointError(f"{path}: its input of shape {list(image)} is not an image")
    seen: set[int] = set()
    found = []
    for number, operator in enumerate(graph.operators):
        constants = {n for n in operator.inputs if graph.tensors[n].is_constant} - seen
        seen |= constants
        macs = operator_macs(operator, graph)
        if not constants and not macs:
            continue
        tensors = [graph.tensors[n] for n in sorted(constants)]
        found.append(
            LayerCost(
                name=str(number),
                kind=operator.kind,
                output=graph.tensors[operator.outputs[0]].shape[1:],
                parameters=sum(tensor.numbers for tensor in tensors),
                bytes=sum(tensor.bytes for tensor in tensors),
                macs=macs,
                binary_macs=0,
            )
        )
    return found, arena_of(graph).head, image
