"""Packed files: what is written is read, and what is damaged is refused, in C as in Python."""

import dataclasses
import struct

import numpy as np
import pytest

from tests.packed.mutations import entry_arrays, mutate, sealed
from tests.packed.random_programs import random_program
from tinyrefinery.deploy.packing.program_builder import ProgramBuilder
from tinyrefinery.packed.packed_format import MalformedError, read_packed, write_packed
from tinyrefinery.packed.packed_runtime import _aligned
from tinyrefinery.packed.program import Op, Step, Value, lookup_arrays

SEEDS = range(12)


def test_a_program_is_read_as_it_was_written():
    for seed in SEEDS:
        program, _ = random_program(seed)
        content = write_packed(program)
        again = read_packed(content)
        assert write_packed(again) == content
        assert (again.values, again.metadata) == (program.values, program.metadata)
        for one, other in zip(program.steps, again.steps, strict=True):
            assert dataclasses.replace(one, arrays={}) == dataclasses.replace(other, arrays={})
            assert set(one.arrays) == set(other.arrays)
            for name, array in one.arrays.items():
                assert (np.asarray(array) == other.arrays[name]).all()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda c: b"", "is not a packed network"),
        (lambda c: b"ONNX" + c[4:], "is not a packed network"),
        (lambda c: c[:8] + struct.pack("<I", 2) + c[12:], "another version"),
        (lambda c: c[:-1], "another length"),
        (lambda c: c + b"\0", "another length"),
        (lambda c: c[:-70] + bytes([c[-70] ^ 1]) + c[-69:], "checksum differs"),
        (lambda c: sealed(c[:20] + struct.pack("<I", 1 << 30) + c[24:]), "tables do not fit"),
        (lambda c: sealed(c[:40] + struct.pack("<2I", 2**32 - 1, 9) + c[48:]), "metadata"),
        (lambda c: sealed(c[:68] + struct.pack("<I", 2**31) + c[72:]), "impossible shape"),
        (lambda c: sealed(c[:28] + struct.pack("<I", 64) + c[32:]), "impossible shape"),
    ],
)
def test_damage_is_named_alike_in_c_and_python(native, damage, message):
    damaged = damage(write_packed(random_program(1)[0]))
    with pytest.raises(MalformedError, match=message):
        read_packed(damaged)
    with pytest.raises(ValueError, match=message):
        native.open(_aligned(damaged))


def _lookup_file() -> tuple[bytes, list[int]]:
    """A lookup step of 4 words and 4 filters, and where its arrays `starts` to `places` start."""
    builder = ProgramBuilder()
    maps, output = (builder.value(Value(5, 5, 4)) for _ in range(2))
    arrays = lookup_arrays(
        *(np.array(each) for each in ([0, 2, 2, 3, 5], [0, 3, 1, 2, 3], [8, 0, 4, 4, 1])),
        np.ones(5),
        4,
    )
    builder.step(Step(Op.LOOKUP, maps, output, (3, 3), 1, 1, arrays=arrays))
    content = write_packed(builder.build(maps, output))
    return content, [start for start, _ in entry_arrays(content)]


_STEP = 64 + 2 * 32  # where the only step starts


@pytest.mark.parametrize(
    ("place", "form", "numbers"),
    [
        pytest.param((0, 0), "<I", [1], id="the first entry is left out"),
        pytest.param((0, 4), "<I", [3], id="starts fall"),
        pytest.param((0, 12), "<I", [6], id="a start behind the last entry"),
        pytest.param((0, 16), "<I", [2**31], id="more entries than bytes"),
        pytest.param((0, 16), "<I", [2**32 - 1], id="as many entries as a number can state"),
        pytest.param((1, 4), "B", [4], id="a word that does not exist"),
        pytest.param((2, 0), "B", [9], id="a place outside the window"),
        pytest.param(None, "<I", [(9, 4)], id="planes that are not aligned"),
        pytest.param(None, "<I", [(9, 1 << 10)], id="planes beyond the arena"),
        pytest.param(None, "<I", [(10, 0)], id="no weights"),
        pytest.param(None, "<I", [(18, 0)], id="no starts"),
        pytest.param(None, "<I", [(19, 0)], id="no words"),
        pytest.param(None, "<I", [(20, 0)], id="no places"),
        pytest.param(None, "<I", [(20, 64)], id="places in the tables"),
        pytest.param(None, "<I", [(0, Op.CONV)], id="entries of a plain convolution"),
    ],
)
def test_bad_entries_are_refused_by_c_and_python(native, place, form, numbers):
    content, starts = _lookup_file()
    read_packed(content)
    native.open(_aligned(content))
    damaged = bytearray(content)
    for number in numbers:
        if place is None:
            field, number = number
            struct.pack_into(form, damaged, _STEP + 4 * field, number)
        else:
            struct.pack_into(form, damaged, starts[place[0]] + place[1], number)
    assert damaged != content
    damaged = sealed(bytes(damaged))
    with pytest.raises(MalformedError, match="a step does not fit"):
        read_packed(damaged)
    with pytest.raises(ValueError, match="a step does not fit"):
        native.open(_aligned(damaged))


@pytest.mark.parametrize(("side", "words"), [(17, 1), (1, 65_537)])
def test_indices_that_do_not_fit_their_bytes_are_refused(native, side, words):
    builder = ProgramBuilder()
    maps, output = builder.value(Value(side, side, words)), builder.value(Value(1, 1, 1))
    arrays = lookup_arrays(np.array([0, 1]), *np.zeros((3, 1)), words)
    builder.step(Step(Op.LOOKUP, maps, output, (side, side), arrays=arrays))
    content = write_packed(builder.build(maps, output))
    for open_file in (read_packed, lambda content: native.open(_aligned(content))):
        with pytest.raises(ValueError, match="a step does not fit"):
            open_file(content)


def test_words_take_one_byte_up_to_256_of_them():
    for words, size in ((256, 1), (257, 2)):
        arrays = lookup_arrays(np.array([0, 1]), np.array([words - 1]), *np.zeros((2, 1)), words)
        assert arrays["words"].nbytes == size
        assert arrays["words"][0] == words - 1


def test_c_and_python_refuse_the_same_damaged_files(native):
    sources = [write_packed(random_program(seed)[0]) for seed in SEEDS]
    refused = 0
    for seed in range(1200):
        damaged = mutate(sources[seed % len(sources)], seed)
        verdicts = []
        for open_file in (read_packed, lambda content: native.open(_aligned(content))):
            try:
                open_file(damaged)
            except ValueError as error:  # only Python reads the metadata
                is_text = "is not text" in str(error)
                verdicts.append("opened" if is_text else "refused")
            else:
                verdicts.append("opened")
        assert verdicts[0] == verdicts[1], f"seed {seed}: {verdicts}"
        refused += verdicts[0] == "refused"
    assert 800 < refused < 1200  # those with a valid checksum may only change a weight
