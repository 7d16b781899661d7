"""Damaged packed files: cut, flipped, or with other numbers, some with a valid checksum."""

import struct
from zlib import crc32

import numpy as np

from tinyrefinery.packed.program import BYTE, Op

_NASTY = (0, 1, 2, 63, 64, 65, 0x7FFF, 0xFFFF, 1 << 20, 0x7FFFFFFF, 0x80000000, 0xFFFFFFC0)
_NASTY += (0xFFFFFFFE, 0xFFFFFFFF)


def sealed(content: bytes) -> bytes:
    """The bytes with the length and the checksum that they need."""
    content = content[:12] + struct.pack("<I", len(content)) + content[16:]
    return content[:16] + struct.pack("<I", crc32(content[20:])) + content[20:]


def entry_arrays(content: bytes) -> list[tuple[int, int]]:
    """Start and bytes of `starts`, `words` and `places` of each lookup step, none of them empty."""
    values, steps = struct.unpack_from("<2I", content, 20)
    found = []
    for number in range(steps):
        fields = struct.unpack_from("<21I", content, 64 + 32 * values + 96 * number)
        if fields[0] == Op.LOOKUP:
            channels = [struct.unpack_from("<I", content, 76 + 32 * v)[0] for v in fields[2:4]]
            starts, words, places = fields[18:]
            (count,) = struct.unpack_from("<I", content, starts + 4 * channels[1])
            width = 1 if channels[0] <= BYTE else 2
            sizes = 4 * (channels[1] + 1), width * count, count
            found += zip((starts, words, places), sizes, strict=True)
    return [(start, size) for start, size in found if size]


def mutate(content: bytes, seed: int) -> bytes:
    """A damaged copy. Every second one has a valid checksum, so that deeper checks are reached."""
    draws = np.random.default_rng(seed)
    kind = int(draws.integers(0, 6))
    entries = entry_arrays(content)
    damaged = bytearray(content)
    if kind == 0:
        damaged = damaged[: int(draws.integers(0, len(content)))]
    elif kind == 1:
        for place in draws.integers(0, len(damaged), int(draws.integers(1, 9))):
            damaged[place] ^= 1 << int(draws.integers(0, 8))
    elif kind == 5 and entries:  # a byte of what a lookup step's weights belong to
        start, size = entries[int(draws.integers(0, len(entries)))]
        damaged[start + int(draws.integers(0, size))] = int(draws.choice([0, 1, 8, 9, 64, 255]))
    else:  # a number of the header or of the tables
        values, steps = struct.unpack_from("<2I", content, 20)
        words = 16 + 8 * values + 24 * steps
        for _ in range(int(draws.integers(1, 3))):
            place = 4 * int(draws.integers(5, words))
            (before,) = struct.unpack_from("<I", damaged, place)
            near = (before + int(draws.integers(-2, 3))) & 0xFFFFFFFF
            new = near if draws.random() < 0.5 else int(draws.choice(_NASTY))
            struct.pack_into("<I", damaged, place, new)
    return sealed(bytes(damaged)) if seed % 2 and len(damaged) >= 20 else bytes(damaged)
