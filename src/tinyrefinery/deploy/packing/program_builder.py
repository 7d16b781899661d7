"""Builds the program of a packed network step by step, then places its values in memory."""

from dataclasses import replace

from tinyrefinery.device.arena import Buffer, place
from tinyrefinery.packed.program import ALIGNMENT, Program, Step, Value


class ProgramBuilder:
    """Values and steps of a program, in the order in which they run."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.steps: list[Step] = []

    def value(self, value: Value) -> int:
        """Add a value; returns its number."""
        self.values.append(value)
        return len(self.values) - 1

    def step(self, step: Step) -> int:
        """Add a step; returns its number."""
        self.steps.append(step)
        return len(self.steps) - 1

    def build(self, input: int, output: int, metadata: str = "") -> Program:
        """The program, in the least memory that the greedy planner finds.

        Args:
            input: number of the value that images are copied to.
            output: number of the value that outputs are copied from.
            metadata: JSON that describes the network.
        """
        needs = [self._buffer(number, input, output) for number in range(len(self.values))]
        scratch = [
            Buffer(_aligned(self._scratch_bytes(step)), number, number)
            for number, step in enumerate(self.steps)
        ]
        buffers = [*needs, *scratch]
        starts = place(buffers)
        values = [replace(v, start=s) for v, s in zip(self.values, starts, strict=False)]
        steps = [
            replace(step, scratch=start if buffer.bytes else 0)
            for step, start, buffer in zip(self.steps, starts[len(values) :], scratch, strict=True)
        ]
        arena = max(start + each.bytes for start, each in zip(starts, buffers, strict=True))
        return Program(tuple(values), tuple(steps), input, output, arena, metadata)

    def _scratch_bytes(self, step: Step) -> int:
        return step.scratch_bytes(self.values[step.input], self.values[step.output])

    def _buffer(self, number: int, input: int, output: int) -> Buffer:
        """Memory of a value, from its first to its last step."""
        uses = [
            place
            for place, step in enumerate(self.steps)
            if number in (step.input, step.output, step.residual)
        ]
        first = -1 if number == input else min(uses, default=0)
        last = len(self.steps) if number == output else max(uses, default=first)
        return Buffer(_aligned(self.values[number].bytes), first, last)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
