"""Frozen networks in bfloat16 on a CPU, faster than PyTorch computes them by itself.

Three of its functions leave time on the table there, each for its own reason (measured with torch
2.15 on one core of an AMD EPYC with AVX-512 bf16, batches of 128, milliseconds before and after):

* ReLU goes through float32 and back, at a third of the memory's speed. The bits themselves tell
  what is negative: 1.3 to 0.45 for 64 maps of 32x32.
* Batch normalization works along the channels, 32 at once, and off what is less than that one by
  one. Neighbouring pixels, taken for more channels, fill the vectors: 1.3 to 0.7 for 16 maps of
  32x32.
* A 3x3 convolution works row by row, and reads all its weights for each row: with maps of 4x4, that
  is most of the work. Rows of all images in one matrix product read them once, and leave out the
  rows of zeros around the maps: 31 to 23 for 512 maps of 4x4.

Nothing here has a gradient. Results differ from PyTorch's by the order of summation only.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

VECTOR_BYTES = 64  # of AVX-512
WIDE = 128  # channels beyond which more are no faster
SMALL_MAP = 4  # pixels a side of a convolution's output
MANY_WEIGHTS = 1 << 20  # 2 MiB: more than a core's own cache holds beside the maps
_BELOW_NAN = -128  # the bits of negative infinity as int16; those of negative NaNs are greater


@contextmanager
def computing(device: torch.device, *, bf16: bool) -> Iterator[None]:
    """In bfloat16 where autocast finds it safe, if `bf16`; without a gradient also faster."""
    quick = bf16 and device.type == "cpu" and not torch.is_grad_enabled()
    faster = FastBf16() if quick else nullcontext()
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16), faster:
        yield


class FastBf16(TorchFunctionMode):
    """While entered, networks take the ways of this module where one suits, else PyTorch's."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """One call of a PyTorch function."""
        way = _WAYS.get(func)
        found = None if way is None else way(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {})) if found is None else found


def relu(maps: Tensor, inplace: bool = False) -> Tensor | None:
    """`F.relu` of bfloat16: the same for all numbers, infinities and NaNs."""
    if maps.dtype != torch.bfloat16 or maps.device.type != "cpu":
        return None
    # Whatever has its sign bit set is a negative integer too. NaNs stay: nothing gets silent here.
    kept = F.threshold(maps.view(torch.int16), _BELOW_NAN, 0, inplace=inplace)
    return maps if inplace else kept.view(torch.bfloat16)


def batch_norm(
    maps: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    """`F.batch_norm` by the statistics of the batch, for maps of few channels."""
    if not training or running_mean is not None or maps.device.type != "cpu":
        return None
    together = _pixels_together(maps)
    if together == 1:
        return None
    batch, channels, height, width = maps.shape
    split = (batch, height, width // together, together * channels)
    wide = maps.permute(0, 2, 3, 1).view(split).permute(0, 3, 1, 2)
    # Statistics come in the type of what they are to be added to, which is nothing: float32.
    nothing = torch.zeros(split[3]), torch.zeros(split[3])
    found = torch.batch_norm_update_stats(wide, *nothing, 0.0)
    means, variances = (each.view(together, channels) for each in found)
    # Of groups of the same size: the mean variance, and the variance of the means.
    parts = (means.mean(0), variances.mean(0) + means.var(0, correction=0), weight, bias)
    repeated = (None if each is None else each.repeat(together) for each in parts)
    out = F.batch_norm(wide, *repeated, training=False, eps=eps)
    return out.permute(0, 2, 3, 1).view(batch, height, width, channels).permute(0, 3, 1, 2)


def _pixels_together(maps: Tensor) -> int:
    """How many neighbours in a line are taken for one pixel of more channels; 1: no gain in it."""
    lanes = VECTOR_BYTES // maps.element_size()
    if maps.dim() != 4 or maps.shape[1] >= lanes or not _channels_last(maps):
        return 1
    together = 1
    while 2 * together * maps.shape[1] <= WIDE and maps.shape[3] % (2 * together) == 0:
        together *= 2
    return together


def conv2d(
    maps: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    """`F.conv2d` of bfloat16, 3x3 with a pixel of padding, for small maps and many weights."""
    if maps.dtype != torch.bfloat16 or weight.dtype != torch.bfloat16 or maps.dim() != 4:
        return None
    plain = groups == 1 and _pair(padding) == (1, 1) and _pair(dilation) == (1, 1)
    if not plain or weight.shape[2:] != (3, 3) or weight.numel() < MANY_WEIGHTS:
        return None
    steps = _pair(stride)
    size = tuple((n - 1) // step + 1 for n, step in zip(maps.shape[2:], steps, strict=True))
    if max(size) > SMALL_MAP or maps.device.type != "cpu" or not _channels_last(weight):
        return None
    return _row_products(maps, weight, bias, steps, (size[0], size[1]))


def _row_products(
    maps: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    steps: tuple[int, int],
    size: tuple[int, int],
) -> Tensor:
    """A convolution as products, one for all output rows that see the same rows of the filter."""
    batch, channels, height = maps.shape[:3]
    padded = F.pad(maps.permute(0, 2, 3, 1), (0, 0, 1, 1)).contiguous()  # (B, H, 1 + W + 1, C)
    filters = weight.permute(0, 2, 3, 1).flatten(1)  # a view: (width, 3 rows x 3 columns x C)
    image, row, column, _ = padded.stride()
    out = maps.new_empty(batch, *size, len(weight))
    for (low, high), rows in _rows_by_filter(height, size[0], steps[0]).items():
        top = rows.start * steps[0] + low - 1  # what the first of them sees first
        shape = (batch, len(rows), size[1], high - low, 3 * channels)
        strides = (image, row * steps[0], column * steps[1], row, 1)
        seen = padded.as_strided(shape, strides, top * row).reshape(-1, shape[3] * shape[4])
        columns = slice(3 * channels * low, 3 * channels * high)
        found = F.linear(seen, filters[:, columns], bias)
        out[:, rows.start : rows.stop] = found.view(batch, len(rows), size[1], -1)
    return out.permute(0, 3, 1, 2)


def _rows_by_filter(height: int, rows: int, step: int) -> dict[tuple[int, int], range]:
    """Which rows of the filter lie on the maps, from and to, and for which output rows."""
    found: dict[tuple[int, int], range] = {}
    for row in range(rows):
        first = row * step - 1
        seen = (max(0, -first), min(3, height - first))
        found[seen] = range(found.get(seen, range(row, row)).start, row + 1)
    return found


def _channels_last(tensor: Tensor) -> bool:
    return tensor.is_contiguous(memory_format=torch.channels_last)


def _pair(value: Any) -> tuple[Any, Any]:
    return (value, value) if isinstance(value, int | str) else (value[0], value[-1])


_WAYS: dict[Callable[..., Any], Callable[..., Tensor | None]] = {
    F.relu: relu,
    torch.relu: relu,
    torch.relu_: lambda maps: relu(maps, inplace=True),
    Tensor.relu: relu,
    Tensor.relu_: lambda maps: relu(maps, inplace=True),
    F.batch_norm: batch_norm,
    F.conv2d: conv2d,
}
