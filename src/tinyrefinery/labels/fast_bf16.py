"""Speed up frozen networks in bfloat16 on CPUs.

Besides ReLU (`layers.relu`), PyTorch has three kinds of modules that can be faster (measured with
torch 2.15 on one core of an AMD EPYC with AVX-512 bf16, batches of 128, ms before and after):

* Batch normalization vectorizes along the channels of a pixel, 32 at once, and computes the
  remainder one by one. Treating adjacent pixels as further channels fills the vectors: 1.09 to 0.50
  for 16 maps of 32x32, 0.33 to 0.24 for 32 of 16x16.
* A 3x3 convolution computes row by row and reads all its weights for each row. For 4x4 maps, that
  is most of the work. One matrix product for the rows of all images reads them once, and skips the
  zero rows of the padding: 31 to 23 for 512 maps of 4x4.
* A 1x1 convolution with a stride reads the pixels that it skips. Selecting pixels first: 0.23 to
  0.19 for 16 maps of 32x32.

None of these has a gradient. Results differ from PyTorch's by the order of summation only.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tinyrefinery.layers.relu import relu

FEW_BYTES = 128  # per pixel: from here on, its channels fill two AVX-512 vectors
WIDE = 512  # channels; more of them are no faster
SMALL_MAP = 4  # pixels per side of a convolution's output
MANY_WEIGHTS = 1 << 20  # 2 MiB: more than a core's cache holds besides the maps


def speed_up(network: nn.Module) -> None:
    """Use faster implementations in a frozen network, where they apply and no gradient is needed.

    Modules keep their types, names and state. The weights must not change afterwards.
    """
    for module in network.modules():
        if type(module) is nn.ReLU:
            _forward(module, partial(relu, inplace=module.inplace))
        elif type(module) is nn.BatchNorm2d:
            _forward(module, BatchNorm(module))
        elif type(module) is nn.Conv2d and _has_many_weights(module):
            _forward(module, partial(_convolve, module))
        elif type(module) is nn.Conv2d and _skips_pixels(module):
            _forward(module, partial(_strided_convolve, module))


def _forward(module: nn.Module, way: Callable[[Tensor], Tensor]) -> None:
    object.__setattr__(module, "forward", way)


class BatchNorm:
    """Batch normalization with batch statistics, fast also for maps with few channels."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        """Replace the forward pass of `norm`."""
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
            vectors = (norm.weight, norm.bias, torch.zeros(norm.num_features))
            self._repeated[together] = tuple(
                None if v is None else v.detach().float().repeat(together) for v in vectors
            )
        return side_by_side(maps, together, *self._repeated[together], eps=norm.eps)


def pixels_together(maps: Tensor) -> int:
    """How many adjacent pixels to treat as one with more channels; 1 if it is no faster."""
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
    """Normalize maps (B, C, h, w) by their batch statistics, `together` pixels at a time.

    Args:
        maps: channels last in memory, h w a multiple of `together`.
        together: number of adjacent pixels to treat as one.
        weight: of the channels, repeated `together` times, (together x C,).
        bias: likewise.
        nothing: zeros, (together x C,).
        eps: added to the variance.
    """
    batch, channels, height, width = maps.shape
    split = (batch, 1, height * width // together, together * channels)
    # (B, C, h, w) -> (B, together C, 1, h w / together), a view
    wide = maps.permute(0, 2, 3, 1).view(split).permute(0, 3, 1, 2)
    # Statistics have the type of the running ones, float32. Momentum 0 ignores their values.
    statistics = torch.batch_norm_update_stats(wide, nothing, nothing, 0.0)
    means, variances = (values.view(together, channels) for values in statistics)
    # Groups of equal size: total variance = variance of the means + mean of the variances.
    variance, mean = torch.var_mean(means, dim=0, correction=0)
    variance = variance.add_(variances.mean(0))
    # Repeat by copying in place: `repeat` takes ten times as long.
    means.copy_(mean.expand_as(means))
    variances.copy_(variance.expand_as(variances))
    out = F.batch_norm(wide, *statistics, weight, bias, False, 0.0, eps)
    return out.permute(0, 2, 3, 1).view(batch, height, width, channels).permute(0, 3, 1, 2)


def _has_many_weights(layer: nn.Conv2d) -> bool:
    """Whether `row_products` applies to this convolution and may be faster."""
    weight = layer.weight
    plain = layer.groups == 1 and layer.dilation == (1, 1) and layer.padding_mode == "zeros"
    fits = plain and layer.kernel_size == (3, 3) and layer.padding == (1, 1)
    fits &= weight.is_contiguous(memory_format=torch.channels_last)
    return fits and weight.dtype == torch.bfloat16 and weight.numel() >= MANY_WEIGHTS


def _skips_pixels(layer: nn.Conv2d) -> bool:
    plain = layer.groups == 1 and layer.padding == (0, 0)
    return plain and layer.kernel_size == (1, 1) and max(layer.stride) > 1


def _strided_convolve(layer: nn.Conv2d, maps: Tensor) -> Tensor:
    if torch.is_grad_enabled() or maps.dim() != 4 or maps.device.type != "cpu":
        return nn.Conv2d.forward(layer, maps)
    down, right = layer.stride
    selected = maps[:, :, ::down, ::right].contiguous(memory_format=torch.channels_last)
    return F.conv2d(selected, layer.weight, layer.bias)


def _convolve(layer: nn.Conv2d, maps: Tensor) -> Tensor:
    steps = (layer.stride[0], layer.stride[1])
    is_supported = maps.dim() == 4 and maps.dtype == torch.bfloat16 and maps.device.type == "cpu"
    if is_supported and not torch.is_grad_enabled():
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
    """A 3x3 convolution with a padding of one pixel, as matrix products.

    There is one product for all output rows that use the same rows of the filter.

    Args:
        maps: (B, C, h, w).
        weight: (D, C, 3, 3), channels last in memory.
        bias: (D,).
        steps: vertical and horizontal stride.
        size: height and width of the output.
    """
    batch, channels, height = maps.shape[:3]
    padded = F.pad(maps.permute(0, 2, 3, 1), (0, 0, 1, 1)).contiguous()  # (B, H, 1 + W + 1, C)
    filters = weight.permute(0, 2, 3, 1).flatten(1)  # a view: (width, 3 rows x 3 columns x C)
    image, row, column, _ = padded.stride()
    out = maps.new_empty(batch, *size, len(weight))
    for (low, high), rows in _rows_by_filter(height, size[0], steps[0]).items():
        top = rows.start * steps[0] + low - 1  # the first input row of the first output row
        # Patches: (B, rows, width, filter rows, 3 C) -> (B rows width, filter rows 3 C)
        shape = (batch, len(rows), size[1], high - low, 3 * channels)
        strides = (image, row * steps[0], column * steps[1], row, 1)
        patches = padded.as_strided(shape, strides, top * row).reshape(-1, shape[3] * shape[4])
        columns = slice(3 * channels * low, 3 * channels * high)
        products = F.linear(patches, filters[:, columns], bias)
        out[:, rows.start : rows.stop] = products.view(batch, len(rows), size[1], -1)
    return out.permute(0, 3, 1, 2)


def _rows_by_filter(height: int, rows: int, step: int) -> dict[tuple[int, int], range]:
    """Rows of the filter that overlap the maps, first and end -> the output rows they apply to."""
    result: dict[tuple[int, int], range] = {}
    for row in range(rows):
        first = row * step - 1
        filter_rows = (max(0, -first), min(3, height - first))
        result[filter_rows] = range(result.get(filter_rows, range(row, row)).start, row + 1)
    return result
