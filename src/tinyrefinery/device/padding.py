"""Padding of convolutions and pools: PyTorch's, and LiteRT's own scheme."""

from collections.abc import Sequence
from typing import Any


def pair(value: Any) -> tuple[int, int]:
    """One number, or a list of one or two, as two."""
    sides = list(value) if isinstance(value, list | tuple) else [value]
    return (sides[0], sides[-1]) if sides else (0, 0)


def padded(shape: Sequence[int], padding: Sequence[int]) -> tuple[int, ...]:
    """A shape (N, H, W, C) with padding on all four sides."""
    return (shape[0], shape[1] + 2 * padding[0], shape[2] + 2 * padding[-1], shape[3])


def is_same(
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> bool:
    """Whether LiteRT's own padding, which keeps ceil(side / stride), is the same on both sides."""
    for side, width, step, pad, gap in zip(size, kernel, stride, padding, dilation, strict=True):
        total = max((-(-side // step) - 1) * step + gap * (width - 1) + 1 - side, 0)
        if total != 2 * pad:
            return False
    return True


def is_same_if_wider(
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> bool:
    """Whether it is with one more row and column of the kernel, below and to the right.

    If these are zeros, the outputs are the same: as many, from windows that start at the same
    places.
    """
    sides = zip(size, kernel, stride, padding, strict=True)
    counts = [(-(-n // step), (n + 2 * pad - width) // step + 1) for n, width, step, pad in sides]
    wider = [width + 1 for width in kernel]
    are_as_many = all(new == old for new, old in counts)
    is_dense = tuple(dilation) == (1, 1)
    return is_dense and are_as_many and is_same(size, wider, stride, padding, dilation)
