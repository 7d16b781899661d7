"""What a LiteRT file costs on a device: flash, memory and multiply-accumulates."""

import math
from dataclasses import dataclass
from pathlib import Path

from tinyrefinery.device.arena import Arena, arena_of
from tinyrefinery.device.litert_graph import Graph, Operator, read_graph


@dataclass(frozen=True)
class DeviceCost:
    """Cost of one network."""

    flash: int
    """Bytes of the file. The interpreter's code comes on top."""
    arena: Arena
    """Memory, in bytes."""
    macs: int
    """Multiply-accumulates of convolutions and linear layers for one image."""

    @property
    def ram(self) -> int:
        """Bytes of the whole arena."""
        return self.arena.total


def device_cost(path: Path) -> DeviceCost:
    """The cost of a LiteRT file; nothing is run.

    Raises:
        CheckpointError: if the file can't be read.
    """
    graph = read_graph(path)
    return DeviceCost(path.stat().st_size, arena_of(graph), graph_macs(graph))


def graph_macs(graph: Graph) -> int:
    """Multiply-accumulates of convolutions, linear layers and matrix products."""
    return sum(operator_macs(operator, graph) for operator in graph.operators)


def operator_macs(operator: Operator, graph: Graph) -> int:
    """Multiply-accumulates of one operator."""
    shapes = [graph.tensors[number].shape for number in operator.inputs]
    out = math.prod(graph.tensors[operator.outputs[0]].shape) if operator.outputs else 0
    match operator.kind:
        case "CONV_2D":  # weights (outputs, height, width, inputs of a group)
            return out * math.prod(shapes[1][1:])
        case "DEPTHWISE_CONV_2D":  # weights (1, height, width, channels)
            return out * math.prod(shapes[1][1:3])
        case "FULLY_CONNECTED":  # weights (outputs, inputs)
            return out * shapes[1][-1]
        case "TRANSPOSE_CONV":  # inputs: output shape, weights (outputs, h, w, inputs), images
            return math.prod(shapes[2]) * math.prod(shapes[1][:3])
        case "BATCH_MATMUL":
            return out * shapes[0][-1]
        case _:
            return 0
