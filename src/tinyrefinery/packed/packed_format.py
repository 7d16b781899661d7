"""The file of a packed network (`.packed`), little-endian.

| bytes | content |
| --- | --- |
| 0 to 7 | `TRPACKED` |
| 8 | version, 1; all numbers are uint32 |
| 12, 16 | bytes of the file, CRC-32 of all that follows |
| 20, 24, 28 | number of values, number of steps, bytes of the arena |
| 32, 36 | number of the input value, of the output value |
| 40, 44 | start and bytes of the metadata, UTF-8 |
| 48 to 63 | 0 |

Then 32 bytes per value (is_bits, height, width, channels, border, start), 96 bytes per step (op,
relu, input, output, residual, kernel height and width, stride, padding, scratch, then the starts
of its 11 arrays), the metadata and the arrays, each at a multiple of 64. Start 0 means no array.
A lookup step has as many entries as the last number of its array `starts` states. Its words take
one byte each if the input has at most 256 channels, else two. Places take one byte.
"""

import struct
from dataclasses import replace
from zlib import crc32

import numpy as np

from tinyrefinery.packed.program import (
    ALIGNMENT,
    ARRAYS,
    BYTE,
    ENTRIES,
    GROUP,
    SLICE,
    Op,
    Program,
    Step,
    Value,
)

MAGIC, VERSION = b"TRPACKED", 1
_HEADER, _VALUE, _STEP = 64, 32, 96
_CHECKED_FROM = 20
_NONE = 0xFFFFFFFF
_MOST_SIDE, _MOST_CHANNELS, _MOST_BORDER = 1 << 14, 1 << 20, 64
_MOST_SUM = 1 << 24
"""Largest number of products in a sum: float32 holds such integers exactly."""
_MOST_STEPS = 1 << 16
_CONVOLUTIONS = (Op.BINARY, Op.CONV, Op.LOOKUP)


class MalformedError(ValueError):
    """A file that is not a packed network; the message completes "FILE: ..."."""


def write_packed(program: Program) -> bytes:
    """The file of a program. Equal programs give equal bytes."""
    metadata = program.metadata.encode()
    starts = _HEADER + _VALUE * len(program.values) + _STEP * len(program.steps)
    place, parts = _up(starts), [metadata]
    metadata_start = place
    place += _up(len(metadata))
    steps = b""
    for step in program.steps:
        places = []
        for name in ARRAYS:
            array = step.arrays.get(name)
            places.append(0 if array is None else place)
            if array is not None:
                parts.append(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
                place += _up(array.nbytes)
        steps += _step_bytes(step, places)
    values = b"".join(
        struct.pack("<6I8x", v.is_bits, v.height, v.width, v.channels, v.border, v.start)
        for v in program.values
    )
    numbers = (len(program.values), len(program.steps), program.arena)
    ends = (program.input, program.output, metadata_start, len(metadata))
    tail = struct.pack("<7I16x", *numbers, *ends) + values + steps
    body = tail + bytes(_up(starts) - starts) + b"".join(map(_padded, parts))
    return MAGIC + struct.pack("<3I", VERSION, place, crc32(body)) + body


def _step_bytes(step: Step, places: list[int]) -> bytes:
    residual = _NONE if step.residual is None else step.residual
    numbers = (step.op, step.relu, step.input, step.output, residual, *step.kernel)
    packed = struct.pack("<21I12x", *numbers, step.stride, step.padding, step.scratch, *places)
    assert len(packed) == _STEP
    return packed


def _up(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _padded(content: bytes) -> bytes:
    return content + bytes(_up(len(content)) - len(content))


def read_packed(content: bytes) -> Program:
    """The program in a file. Arrays are views of its bytes.

    Raises:
        MalformedError: if anything in it does not fit the rest.
    """
    if len(content) < _HEADER or content[:8] != MAGIC:
        raise MalformedError("is not a packed network")
    version, size, checksum = struct.unpack_from("<3I", content, 8)
    if version != VERSION:
        raise MalformedError("was written by another version")
    if size != len(content):
        raise MalformedError("has another length than its header states")
    if checksum != crc32(memoryview(content)[_CHECKED_FROM:]):
        raise MalformedError("is damaged (its checksum differs)")
    values, steps, arena, first, last, start, length = struct.unpack_from("<7I", content, 20)
    tables = _HEADER + _VALUE * values + _STEP * steps
    if max(values, steps) > _MOST_STEPS or max(first, last) >= values or tables > size:
        raise MalformedError("its tables do not fit")
    if start + length > size:
        raise MalformedError("its metadata does not fit")
    found = tuple(_value(content, number, arena) for number in range(values))
    if found[first].is_bits or found[last].is_bits:
        raise MalformedError("its input or output is not a float image")
    reader = _Reader(content, found, arena, tables)
    every = tuple(reader.step(_HEADER + _VALUE * values + _STEP * n) for n in range(steps))
    try:
        metadata = content[start : start + length].decode()
    except UnicodeDecodeError as error:
        raise MalformedError("its metadata is not text") from error
    return Program(found, every, first, last, arena, metadata)


def _value(content: bytes, number: int, arena: int) -> Value:
    fields = struct.unpack_from("<6I", content, _HEADER + _VALUE * number)
    is_bits, height, width, channels, border, start = fields
    value = Value(height, width, channels, bool(is_bits), border, start)
    limits = ((height, _MOST_SIDE), (width, _MOST_SIDE), (channels, _MOST_CHANNELS))
    is_good = is_bits <= 1 and all(0 < size <= most for size, most in limits)
    is_good = is_good and border <= _MOST_BORDER and (value.is_bits or not border)
    if not is_good or start % ALIGNMENT or start + value.bytes > arena:
        raise MalformedError("a value has an impossible shape or place")
    return value


class _Reader:
    """Reads the steps of a file, and checks that each one fits its values and its arrays."""

    def __init__(self, content: bytes, values: tuple[Value, ...], arena: int, tables: int) -> None:
        self.content, self.values, self.arena, self.tables = content, values, arena, tables

    def step(self, at: int) -> Step:
        """The step whose 21 numbers start at a byte of the file.

        Raises:
            MalformedError: if it does not fit its values or its arrays.
        """
        op, relu, first, last, residual, *rest = struct.unpack_from("<21I", self.content, at)
        height, width, stride, padding, scratch, *places = rest
        known = op in Op.__members__.values() and relu <= 1
        if not known or max(first, last) >= len(self.values):
            raise _misfit()
        step = Step(
            *(Op(op), first, last, (height, width), stride, padding, bool(relu)),
            residual=None if residual == _NONE else residual,
            scratch=scratch,
        )
        self._check(step)
        starts = dict(zip(ARRAYS, places, strict=True))
        shapes = self._shapes(step) | self._entries(step, starts["starts"])
        if any(starts[name] for name in set(ARRAYS) - set(shapes)):
            raise _misfit()
        arrays = {name: self._array(starts[name], *shapes[name]) for name in shapes if starts[name]}
        if missing := self._needed(step) - set(arrays):
            raise _misfit(f" ({sorted(missing)[0]} is missing)")
        if step.op == Op.LOOKUP:
            self._check_entries(step, arrays)
        return replace(step, arrays=arrays)

    def _check(self, step: Step) -> None:
        source, target = self.values[step.input], self.values[step.output]
        if step.op in (Op.SIGN, Op.FINISH):
            sizes = [(v.height, v.width, v.channels) for v in (source, target)]
            same = sizes[0] == sizes[1]
            good = not source.is_bits and same and target.is_bits == (step.op == Op.SIGN)
        else:
            good = self._is_window(step, source, target)
            good = good and source.is_bits == (step.op == Op.BINARY)
            if step.op in (Op.AVERAGE, Op.MAX):
                good = good and source.channels == target.channels and not target.is_bits
                good = good and step.padding < min(step.kernel)
                good = good and (step.op == Op.MAX or not step.padding)
            else:
                good = good and self._fits(step, source, target)
        if not good or not self._is_residual(step, target):
            raise _misfit()

    def _is_window(self, step: Step, source: Value, target: Value) -> bool:
        sides = ((source.height, target.height), (source.width, target.width))
        return (
            0 < step.stride <= _MOST_SIDE
            and step.padding <= _MOST_BORDER
            and all(
                0 < kernel <= side + 2 * step.padding
                and out == (side + 2 * step.padding - kernel) // step.stride + 1
                for kernel, (side, out) in zip(step.kernel, sides, strict=True)
            )
        )

    def _fits(self, step: Step, source: Value, target: Value) -> bool:
        """Of a convolution: its sums are exact, and border and scratch are there."""
        places = step.kernel[0] * step.kernel[1]
        if places * source.channels > _MOST_SUM:
            return False
        if step.op != Op.BINARY and target.is_bits:
            return False
        size = step.scratch_bytes(source, target)
        if size and (step.scratch % ALIGNMENT or step.scratch + size > self.arena):
            return False
        if step.op == Op.LOOKUP:
            return places <= BYTE and source.channels <= BYTE**2
        return step.op == Op.CONV or source.border >= step.padding

    def _is_residual(self, step: Step, target: Value) -> bool:
        finishes = step.op in (*_CONVOLUTIONS, Op.FINISH) and not target.is_bits
        if step.relu and not finishes:
            return False
        if step.residual is None:
            return True
        if not finishes or step.residual >= len(self.values):
            return False
        other = self.values[step.residual]
        return not other.is_bits and other.shape == target.shape

    def _needed(self, step: Step) -> set[str]:
        needed = {"weights"} if step.op in _CONVOLUTIONS else set()
        if step.op == Op.LOOKUP:
            needed |= set(ENTRIES)
        if step.op == Op.BINARY and self.values[step.output].is_bits:
            needed |= {"bounds", "flips"}
        return needed

    def _shapes(self, step: Step) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape and type of the arrays that a step may have."""
        source, target = self.values[step.input], self.values[step.output]
        per_channel = ((target.channels,), "<f4")
        if step.op == Op.SIGN:
            return {"bounds": per_channel, "flips": per_channel}
        if step.op in (Op.AVERAGE, Op.MAX):
            return {}
        names = ("bounds", "flips") if target.is_bits else ARRAYS[1:6]
        shapes: dict[str, tuple[tuple[int, ...], str]] = dict.fromkeys(names, per_channel)
        places = step.kernel[0] * step.kernel[1]
        if step.op == Op.BINARY:
            groups = -(-target.channels // GROUP)
            shapes["weights"] = ((groups, places * source.words, GROUP), "<u8")
        elif step.op == Op.CONV:
            filters = -(-target.channels // SLICE) * SLICE
            shapes["weights"] = ((places, source.channels, filters), "<f4")
        return shapes

    def _entries(self, step: Step, start: int) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape and type of the arrays of a lookup step's entries."""
        if step.op != Op.LOOKUP or not start:
            return {}
        starts = (self.values[step.output].channels + 1,), "<u4"
        count = (int(self._array(start, *starts)[-1]),)
        words = "u1" if self.values[step.input].channels <= BYTE else "<u2"
        return {
            "starts": starts,
            "weights": (count, "<f4"),
            "words": (count, words),
            "places": (count, "u1"),
        }

    def _check_entries(self, step: Step, arrays: dict[str, np.ndarray]) -> None:
        """Entries are in order, and name words and places that exist."""
        starts = arrays["starts"]
        is_ordered = starts[0] == 0 and bool((starts[:-1] <= starts[1:]).all())
        limits = {
            "words": self.values[step.input].channels,
            "places": step.kernel[0] * step.kernel[1],
        }
        if not is_ordered or any((arrays[name] >= most).any() for name, most in limits.items()):
            raise _misfit()

    def _array(self, start: int, shape: tuple[int, ...], kind: str) -> np.ndarray:
        count = int(np.prod(shape, dtype=object))
        size = np.dtype(kind).itemsize * count
        if start % ALIGNMENT or start < self.tables or start + size > len(self.content):
            raise _misfit()
        return np.frombuffer(self.content, kind, count, start).reshape(shape)


def _misfit(detail: str = "") -> MalformedError:
    return MalformedError(f"a step does not fit its values or its weights{detail}")
