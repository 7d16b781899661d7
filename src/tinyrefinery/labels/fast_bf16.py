"""Frozen networks in bfloat16 on a CPU, faster than PyTorch computes them by itself.

Three kinds of modules leave time on the table there, beside ReLU (`layers.relu`), each for its own
reason (measured with torch 2.15 on one core of an AMD EPYC with AVX-512 bf16, batches of 128,
milliseconds before and after):

* Batch normalization works along the channels of a pixel, 32 at once, and off what is less than
  that one by one. Neighbouring pixels, taken for more channels, fill the vectors and are fewer:
  1.09 to 0.50 for 16 maps of 32x32, 0.33 to 0.24 for 32 of 16x16.
* A 3x3 convolution works row by row, and reads all its weights for each row: with maps of 4x4, that
  is most of the work. Rows of all images in one matrix product read them once, and leave out the
  rows of zeros around the maps: 31 to 23 for 512 maps of 4x4.
* A 1x1 convolution with a stride reads the pixels that it skips. Picked out first: 0.23 to 0.19 for
  16 maps of 32x32.

Nothing here has a gradient. Results differ from PyTorch's by the order of summation only.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tinyrefinery.layers.relu import relu

FEW_BYTES = 128  # of a pixel's channels: as many fill two vectors of AVX-512
WIDE = 512  # channels beyond which more are no faster
SMALL_MAP = 4  # pixels a side of a convolution's output
MANY_WEIGHTS = 1 << 20  # 2 MiB: more than a core's own cache holds beside the maps


def hasten(network: nn.Module) -> None:
    """Let a frozen network's modules take faster ways where these suit, and no gradient is wanted.

    Modules keep their types, names and state. Weights must stay as they are from here on.
    """
    for module in network.modules():
        if type(module) is nn.ReLU:
            _forward(module, partial(relu, inplace=module.inplace))
        elif type(module) is nn.BatchNorm2d:
            _forward(module, BatchNorm(module))
        elif type(module) is nn.Conv2d and _has_many_weights(module):
            _forward(module, partial(_convolved, module))
        elif type(module) is nn.Conv2d and _skips_pixels(module):
            _forward(module, partial(_of_every_other, module))


def _forward(module: nn.Module, way: Callable[[Tensor], Tensor]) -> None:
    object.__setattr__(module, "forward", way)


class BatchNorm:
    """Batch normalization by the statistics of the batch, for maps of few channels too."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        """Stand for `norm`."""
        self.norm = norm
        self._repeated: dict[int, tuple[Tensor | None, ...]] = {}

    def __call__(self, maps: Tensor) -> Tensor:
        """Normalized maps, (B, C, h, w)."""
        norm = self.norm
        plain = norm.training or norm.running_mean is not None or torch.is_grad_enabled()
        together = 1 if plain else pixels_together(maps)
        if together == 1:
            return nn.BatchNorm2d.forward(norm, maps)
        if together not in self._repeated:
            given = (norm.weight, norm.bias, torch.zeros(norm.num_features))
            self._repeated[together] = tuple(
                None if each is None else each.detach().float().repeat(together) for each in given
            )
        return side_by_side(maps, together, *self._repeated[together], eps=norm.eps)


def pixels_together(maps: Tensor) -> int:
    """How many neighbouring pixels are taken for one of more channels; 1: no gain in it."""
    if maps.dim() != 4 or maps.device.type != "cpu":
        return 1
    channels, height, width = maps.shape[1:]
    if channels * maps.element_size() >= FEW_BYTES:
        return 1
    if not maps.is_contiguous(memory_format=torch.channels_last):
        return 1
    together = 1
    while 2 * together * channels <= WIDE and height * width % (2 * together) == 0:
        together *= 2
    return together


def side_by_side(
    maps: Tensor,
    together: int,
    weight: Tensor | None,
    bias: Tensor | None,
    nothing: Tensor | None,
    *,
    eps: float,
) -> Tensor:
    """Maps (B, C, h, w) normalized by their own statistics, `together` pixels at a time.

    Args:
        maps: channels last in memory, h w a multiple of `together`.
        together: how many neighbours are taken for one pixel.
        weight: of each channel, so many times over, (together x C,).
        bias: likewise.
        nothing: zeros, (together x C,).
        eps: added to the variance.
    """
    batch, channels, height, width = maps.shape
    split = (batch, 1, height * width // together, together * channels)
    wide = maps.permute(0, 2, 3, 1).view(split).permute(0, 3, 1, 2)
    # Statistics come in the type of the running ones, of which nothing is taken: float32.
    found = torch.batch_norm_update_stats(wide, nothing, nothing, 0.0)
    means, variances = (each.view(together, channels) for each in found)
    # Of groups of the same size: the mean variance, and the variance of the means.
    spread, mean = torch.var_mean(means, dim=0, correction=0)
    variance = spread.add_(variances.mean(0))
    # Thus repeated because `repeat` takes ten times as long.
    means.copy_(mean.expand_as(means))
    variances.copy_(variance.expand_as(variances))
    out = F.batch_norm(wide, *found, weight, bias, False, 0.0, eps)
    return out.permute(0, 2, 3, 1).view(batch, height, width, channels).permute(0, 3, 1, 2)


def _has_many_weights(layer: nn.Conv2d) -> bool:
    """Whether `row_products` may pay for this convolution."""
    weight = layer.weight
    plain = layer.groups == 1 and layer.dilation == (1, 1) and layer.padding_mode == "zeros"
    fits = plain and layer.kernel_size == (3, 3) and layer.padding == (1, 1)
    laid = weight.is_contiguous(memory_format=torch.channels_last)
    return fits and laid and weight.dtype == torch.bfloat16 and weight.numel() >= MANY_WEIGHTS


def _skips_pixels(layer: nn.Conv2d) -> bool:
    plain = layer.groups == 1 and layer.padding == (0, 0)
    return plain and layer.kernel_size == (1, 1) and max(layer.stride) > 1


def _of_every_other(layer: nn.Conv2d, maps: Tensor) -> Tensor:
    if torch.is_grad_enabled() or maps.dim() != 4 or maps.device.type != "cpu":
        return nn.Conv2d.forward(layer, maps)
    down, right = layer.stride
    seen = maps[:, :, ::down, ::right].contiguous(memory_format=torch.channels_last)
    return F.conv2d(seen, layer.weight, layer.bias)


def _convolved(layer: nn.Conv2d, maps: Tensor) -> Tensor:
    steps = (layer.stride[0], layer.stride[1])
    known = maps.dim() == 4 and maps.dtype == torch.bfloat16 and maps.device.type == "cpu"
    if known and not torch.is_grad_enabled():
        size = ((maps.shape[2] - 1) // steps[0] + 1, (maps.shape[3] - 1) // steps[1] + 1)
        if max(size) <= SMALL_MAP:
            return row_products(maps, layer.weight, layer.bias, steps, size)
    return nn.Conv2d.forward(layer, maps)


def row_products(
    maps: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    steps: tuple[int, int],
    size: tuple[int, int],
) -> Tensor:
    """A 3x3 convolution, padded by one pixel, as matrix products.

    There is one for all output rows that see the same rows of the filter.

    Args:
        maps: (B, C, h, w).
        weight: (D, C, 3, 3), channels last in memory.
        bias: (D,).
        steps: down and to the right.
        size: height and width of what comes out.
    """
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
