"""Packed files: what is written is read, and what is damaged is refused, in C as in Python."""

import dataclasses
import struct

import numpy as np
import pytest

from tests.packed.mutations import mutate, sealed
from tests.packed.random_programs import random_program
from tinyrefinery.packed.packed_format import MalformedError, read_packed, write_packed
from tinyrefinery.packed.packed_runtime import _aligned

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
