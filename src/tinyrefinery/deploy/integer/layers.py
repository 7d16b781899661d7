"""The layers of a planned network, with whole numbers only. All images are height, width, channels.

Tensors are named by number. `integer_run.py` computes layers by NumPy, `c_source/` in C: both give
the same bits.
"""

from dataclasses import dataclass, field

import numpy as np

Shape = tuple[int, int, int]
"""Height, width, channels."""


@dataclass(frozen=True)
class Window:
    """How a filter or a pool moves over an image."""

    height: int
    width: int
    stride: tuple[int, int]
    """Down, right."""
    padding: tuple[int, int] = (0, 0)
    """Above, left. Below and right follow from the sizes."""
    dilation: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Range:
    """Offset and limits of int8 outputs."""

    zero: int
    low: int = -128
    high: int = 127


@dataclass(frozen=True)
class Layer:
    """What every layer has."""

    inputs: tuple[int, ...]
    output: int


@dataclass(frozen=True)
class Convolution(Layer):
    """Sums of products, rescaled per filter. A dense layer is one of a single pixel."""

    image: Shape
    result: Shape
    window: Window
    groups: int
    input_zero: int
    weights: np.ndarray = field(repr=False)
    """(filters, height, width, channels of a group) int8; depthwise: (height, width, channels)."""
    bias: np.ndarray = field(repr=False)
    """(filters,) int64."""
    multiplier: np.ndarray = field(repr=False)
    shift: np.ndarray = field(repr=False)
    range: Range

    @property
    def is_depthwise(self) -> bool:
        """Whether each channel has one filter of its own."""
        return self.weights.ndim == 3

    @property
    def needs_patch(self) -> bool:
        """Whether the inputs of a filter have to be collected first, or lie side by side."""
        window = self.window
        is_point = (window.height, window.width, self.groups) == (1, 1, 1)
        return not self.is_depthwise and not (is_point and window.padding == (0, 0))


@dataclass(frozen=True)
class Pool(Layer):
    """The average or the maximum of each window, as far as it lies on the image."""

    image: Shape
    result: Shape
    window: Window
    is_average: bool
    range: Range


@dataclass(frozen=True)
class Mean(Layer):
    """The average over one of three axes, rescaled: over the pixels of an image, mostly."""

    shape: tuple[int, int, int]
    """Of the input; the average is over the second axis."""
    input_zero: int
    multiplier: int
    shift: int
    range: Range


@dataclass(frozen=True)
class Sum(Layer):
    """The sum of two tensors. Number i of an input is i modulo its size."""

    sizes: tuple[int, int]
    size: int
    zeros: tuple[int, int]
    multipliers: tuple[int, int, int]
    """Of both inputs, shifted by 20 bits, and of their sum."""
    shifts: tuple[int, int, int]
    range: Range


@dataclass(frozen=True)
class Product(Layer):
    """The product of two tensors. Number i of an input is i modulo its size."""

    sizes: tuple[int, int]
    size: int
    zeros: tuple[int, int]
    multiplier: int
    shift: int
    range: Range


@dataclass(frozen=True)
class Lookup(Layer):
    """A function of one byte."""

    size: int
    table: np.ndarray = field(repr=False)
    """(256,) int8, by the input's bits."""


@dataclass(frozen=True)
class Frame(Layer):
    """The image with a constant around it."""

    image: Shape
    result: Shape
    offset: tuple[int, int, int]
    """Pixels above and left, channels before."""
    value: int


@dataclass(frozen=True)
class Rows(Layer):
    """Rows of one input copied into rows of the output: a part of a concatenation, or a slice."""

    count: int
    """Rows."""
    length: int
    """Bytes of a row."""
    source: tuple[int, int]
    """Bytes from the start of the input to the first row, and from row to row."""
    target: tuple[int, int]
    """The same of the output."""


@dataclass(frozen=True)
class Choice(Layer):
    """Parts of each row of the input, in another order."""

    count: int
    """Rows."""
    step: int
    """Bytes from row to row of the input."""
    length: int
    """Bytes of a part."""
    places: np.ndarray = field(repr=False)
    """(parts,) int32, bytes from the start of a row."""


@dataclass(frozen=True)
class Transpose(Layer):
    """Axes in another order."""

    shape: tuple[int, ...]
    """Of the output, 4 sides."""
    strides: tuple[int, ...]
    """Bytes in the input for a step along each axis of the output."""


@dataclass(frozen=True)
class Softmax(Layer):
    """int8 probabilities of int8 logits, in whole numbers."""

    size: int
    exponentials: np.ndarray = field(repr=False)
    """(256,) by the distance to the largest logit, 31 fractional bits."""


@dataclass(frozen=True)
class Probabilities(Layer):
    """float32 probabilities of int8 logits: the last layer."""

    size: int
    exponentials: np.ndarray = field(repr=False)
    """(256,) float32, by the distance to the largest logit."""


@dataclass(frozen=True)
class Values(Layer):
    """float32 values of int8 numbers: the last layer."""

    size: int
    zero: int
    scale: np.float32


@dataclass(frozen=True)
class Plan:
    """A network ready to be computed."""

    name: str
    """Of its file, for errors."""
    input: int
    input_shape: Shape
    input_type: str
    """`uint8` or `int8`."""
    input_scale: float
    """What one step of the input stands for."""
    input_zero: int
    output: int
    output_type: str
    """`float32`, `uint8` or `int8`."""
    output_scale: float
    """Of an output of whole numbers: what one step stands for."""
    output_zero: int
    outputs: int
    """How many numbers it gives."""
    layers: tuple[Layer, ...] = field(repr=False)
    bytes: dict[int, int] = field(repr=False)
    """Of every activation between the layers."""
    constants: dict[int, np.ndarray] = field(repr=False)
    """int8 operands of sums and products that are in the file."""
