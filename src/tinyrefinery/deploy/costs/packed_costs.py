"""What a packed file costs: its steps that have arrays or products, its bytes and its memory."""

from pathlib import Path

from tinyrefinery.deploy.costs.layer_costs import LayerCost
from tinyrefinery.device.arena import Arena
from tinyrefinery.device.device_cost import DeviceCost
from tinyrefinery.models.packed_file import PackedNetwork
from tinyrefinery.packed.program import ENTRIES, Op, Program, Step


def packed_costs(path: Path) -> tuple[list[LayerCost], int, tuple[int, ...]]:
    """The steps of a file, bytes of its arena, and the shape of its input.

    Raises:
        CheckpointError: if the file can't be read.
    """
    program = PackedNetwork(path).runtime.program
    return _costs(program), program.arena, (1, *program.values[program.input].shape)


def packed_file_cost(path: Path) -> DeviceCost:
    """Flash, memory and products of a file, in its own runtime.

    Raises:
        CheckpointError: if the file can't be read.
    """
    return packed_cost(PackedNetwork(path).runtime.program, path.stat().st_size)


def packed_cost(program: Program, size: int) -> DeviceCost:
    """Flash, memory and products of a program.

    The runtime's code, its stack, and the logits that it writes, 4 bytes per class, come on top.

    Args:
        program: the network.
        size: bytes of its file.
    """
    macs = sum(layer.macs + layer.binary_macs for layer in _costs(program))
    return DeviceCost(size, Arena(program.arena, 0), macs)


def _costs(program: Program) -> list[LayerCost]:
    steps = enumerate(program.steps)
    return [_cost(program, number, step) for number, step in steps if step.arrays]


def _cost(program: Program, number: int, step: Step) -> LayerCost:
    source, target = program.values[step.input], program.values[step.output]
    weights = 0
    if step.op == Op.LOOKUP:
        weights = step.arrays["weights"].size
    elif "weights" in step.arrays:
        weights = step.kernel[0] * step.kernel[1] * source.channels * target.channels
    macs = weights * target.height * target.width
    window = f" {step.kernel[0]}x{step.kernel[1]}" if weights else ""
    apart = ("weights", *ENTRIES)
    others = sum(array.size for name, array in step.arrays.items() if name not in apart)
    return LayerCost(
        name=str(number),
        kind=f"{step.op.name}{window}",
        output=(target.height, target.width, target.channels),
        parameters=weights + others,
        bytes=sum(array.nbytes for array in step.arrays.values()),
        macs=0 if step.op == Op.BINARY else macs,
        binary_macs=macs if step.op == Op.BINARY else 0,
    )
