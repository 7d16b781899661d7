"""A packed network as steps on images in one block of memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from math import ceil

import numpy as np

ALIGNMENT = 64
"""Of everything in the file and in memory, in bytes."""
WORD = 64
"""Channels in a word of bits."""
GROUP, SLICE = 8, 16
"""Filters are padded to multiples: those of bits, those of floats."""


class Op(IntEnum):
    """What a step computes; the numbers are those of the file."""

    SIGN = 1
    """Floats to bits: `x * flips >= bounds`."""
    BINARY = 2
    """Convolution of bits with bits: the sum of the products of signs. Padded pixels add 0."""
    CONV = 3
    """Convolution of floats."""
    AVERAGE = 4
    MAX = 5
    FINISH = 6
    """What may follow a convolution, by itself."""
    LOOKUP = 7
    """Convolution of floats whose filters have few weights: sums of listed products."""


_FINISHES, _COMPARISON = ("scale", "shift", "slope", "gain", "offset"), ("bounds", "flips")
ENTRIES = ("starts", "words", "places")
"""What the weights of a lookup step belong to."""
ARRAYS: tuple[str, ...] = ("weights", *_FINISHES, *_COMPARISON, *ENTRIES)
"""Arrays of a step, in the order of the file."""
BYTE = 256
"""Values of a byte: most places of a lookup window. More words than that take two bytes each."""


@dataclass(frozen=True)
class Value:
    """An image, channels last: float32, or one bit per channel in words of 64.

    Bits beyond the last channel are 0, and so is the border.
    """

    height: int
    width: int
    channels: int
    is_bits: bool = False
    border: int = 0
    """Pixels around an image of bits."""
    start: int = 0
    """Byte in the arena."""

    @property
    def words(self) -> int:
        """Words per pixel of an image of bits."""
        return ceil(self.channels / WORD)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of its array: float32 (H, W, C), or uint64 (H + 2 border, W + 2 border, words)."""
        if not self.is_bits:
            return self.height, self.width, self.channels
        return self.height + 2 * self.border, self.width + 2 * self.border, self.words

    @property
    def bytes(self) -> int:
        """Of its array."""
        height, width, last = self.shape
        return height * width * last * (8 if self.is_bits else 4)


@dataclass(frozen=True)
class Step:
    """One step.

    A convolution's sum v is finished in this order, with arrays (C,) per channel:
    `v * scale + shift`, PReLU with `slope`, `v * gain + offset`, `v + residual`, ReLU. Or, where
    the output is bits, `v * flips >= bounds`.
    """

    op: Op
    input: int
    output: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: int = 0
    relu: bool = False
    residual: int | None = None
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    """By name, of `ARRAYS`. Weights of bits are uint64 (groups of 8 filters, places and words of a
    window, 8), of floats float32 (places, channels, filters padded to 16).

    A lookup step has one float32 weight per entry. An entry adds its weight times input channel
    `words[entry]` at place `places[entry]` of the window, which is row * width + column. Filter o
    has the entries `starts[o]` to `starts[o + 1]`, and adds them in this order."""
    scratch: int = 0
    """Byte in the arena of what the step needs beside its values."""

    def scratch_bytes(self, source: Value, target: Value) -> int:
        """Bytes that the step needs beside its values.

        A binary step: sums that correct a border. A lookup step: its input with zeros around it,
        one channel after the other, each of them split into the rows and columns that a stride
        reads together, and room for a group of pixels beyond the end.
        """
        if self.op == Op.LOOKUP:
            phases, area = 1, 1
            for kernel, side in zip(self.kernel, (source.height, source.width), strict=True):
                phases *= min(kernel, self.stride)
                area *= ceil((side + 2 * self.padding) / self.stride)
            return 4 * (source.channels * phases * area + SLICE)
        needed = self.op == Op.BINARY and self.padding
        return 4 * self.kernel[0] * self.kernel[1] * target.channels if needed else 0


@dataclass(frozen=True)
class Program:
    """The steps of a network, in order."""

    values: tuple[Value, ...]
    steps: tuple[Step, ...]
    input: int
    output: int
    arena: int
    """Bytes of memory that all values share."""
    metadata: str = ""
    """JSON that describes the network."""


def packed_weights(levels: np.ndarray) -> np.ndarray:
    """Signs (O, C, h, w) of filters as the steps read them: uint64 (O / 8, h * w * words, 8)."""
    filters, channels, height, width = levels.shape
    groups, words = ceil(filters / GROUP), ceil(channels / WORD)
    bits = np.zeros((groups * GROUP, height, width, words * WORD), np.uint8)
    bits[:filters, :, :, :channels] = levels.transpose(0, 2, 3, 1) >= 0
    packed = packed_bits(bits).reshape(groups, GROUP, height * width * words)
    return np.ascontiguousarray(packed.transpose(0, 2, 1))


def packed_bits(bits: np.ndarray) -> np.ndarray:
    """Bits (..., 64 n) as words, uint64 (..., n); the first channel is the lowest bit."""
    octets = np.packbits(bits, axis=-1, bitorder="little")
    return np.ascontiguousarray(octets).view("<u8").astype(np.uint64, copy=False)


def float_weights(weights: np.ndarray) -> np.ndarray:
    """Filters (O, C, h, w) as the steps read them: float32 (h * w, C, O padded to 16)."""
    filters, channels, height, width = weights.shape
    padded = np.zeros((height * width, channels, ceil(filters / SLICE) * SLICE), np.float32)
    order = weights.transpose(2, 3, 1, 0).reshape(height * width, channels, filters)
    padded[:, :, :filters] = order
    return padded


def lookup_arrays(
    starts: np.ndarray, words: np.ndarray, places: np.ndarray, weights: np.ndarray, channels: int
) -> dict[str, np.ndarray]:
    """Arrays of a lookup step, with indices in as few bytes as they need.

    Args:
        starts: (O + 1,) first entry of each filter, and the number of entries.
        words: (n,) input channel of each entry.
        places: (n,) place in the window.
        weights: (n,).
        channels: of the input.
    """
    return {
        "weights": weights.astype(np.float32),
        "starts": starts.astype(np.uint32),
        "words": words.astype(np.uint8 if channels <= BYTE else np.uint16),
        "places": places.astype(np.uint8),
    }
