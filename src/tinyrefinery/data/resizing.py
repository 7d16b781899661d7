"""Weights of antialiased bilinear resizing: the share of each source pixel in each crop pixel.

The filter is the triangle of Pillow and torch, which widens with the scale when the image shrinks.
It is separable: one matrix for the rows and one for the columns of each crop.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from tinyrefinery.data.augmentation import Crops
from tinyrefinery.data.device import to_device
from tinyrefinery.shapes import Bool, Float

# Largest table of weights in numbers: 16 MB, enough for images of 44 pixels. For larger images the
# products cost so much more that computing the weights doesn't matter.
TABLE = 1 << 22

RowsAndColumns = tuple[Float[Tensor, "B h H"], Float[Tensor, "B w W"]]


def crop_weights(
    sides: tuple[int, int], crops: Crops, size: tuple[int, int], device: torch.device
) -> RowsAndColumns:
    """Weights of the rows (B, h, H) and columns (B, w, W) of crops; the columns include flips.

    Args:
        sides: height and width of the images in pixels.
        crops: the draws.
        size: height and width of the crops in pixels.
        device: device of the weights.
    """
    weights = weights_from_tables(sides, crops, size, device)
    return computed_weights(sides, crops, size, device) if weights is None else weights


def weights_from_tables(
    sides: tuple[int, int], crops: Crops, size: tuple[int, int], device: torch.device
) -> RowsAndColumns | None:
    """`crop_weights` from tables; None if the crops or images are not suitable.

    Tables need small images, and boxes of whole pixels inside the image.
    """
    boxes = crops.boxes.astype(np.int64)
    small = all(n * n * (n + 1) * out <= TABLE for n, out in zip(sides, size, strict=True))
    inside = (boxes[:, :2] >= 0) & (boxes[:, :2] + boxes[:, 2:] <= sides) & (boxes[:, 2:] > 0)
    if not small or crops.resized is not None or (boxes != crops.boxes).any() or not inside.all():
        return None
    flips = (np.zeros(len(boxes), bool), crops.flip)  # of rows and of columns
    weights = []
    for axis, (n, out) in enumerate(zip(sides, size, strict=True)):
        table = interval_weights(out, n, device)  # (2, S, out, n)
        interval = _interval_number(boxes[:, axis], boxes[:, axis + 2], n)
        index = interval + flips[axis] * table.shape[1]  # into (2 S, out, n)
        weights.append(table.flatten(0, 1).index_select(0, to_device(index, device)))
    return weights[0], weights[1]


def computed_weights(
    sides: tuple[int, int], crops: Crops, size: tuple[int, int], device: torch.device
) -> RowsAndColumns:
    """`crop_weights` for any crops."""
    image_h, image_w = sides
    boxes = to_device(torch.as_tensor(crops.boxes, dtype=torch.float32), device)
    top, left, height, width = boxes.unbind(1)  # (B, 4) -> four (B,)
    if crops.resized is None:
        # Crop, then resize: pixels outside the box have no weight.
        zoom_y, zoom_x = height / size[0], width / size[1]
        bounds_y = top.clamp(min=0), (top + height).clamp(max=image_h)
        bounds_x = left.clamp(min=0), (left + width).clamp(max=image_w)
    else:
        # Resize, then crop: the filter may extend beyond the box.
        resized = to_device(torch.as_tensor(crops.resized, dtype=torch.float32), device)
        zoom_y, zoom_x = image_h / resized[:, 0], image_w / resized[:, 1]
        bounds_y = torch.zeros_like(top), torch.full_like(top, image_h)
        bounds_x = torch.zeros_like(top), torch.full_like(top, image_w)
        top, left = top * zoom_y, left * zoom_x
    flip = to_device(crops.flip, device)
    rows = resize_weights(top, zoom_y, size[0], image_h, *bounds_y)
    return rows, resize_weights(left, zoom_x, size[1], image_w, *bounds_x, flipped=flip)


@lru_cache(maxsize=8)
def interval_weights(
    out: int, source: int, device: torch.device
) -> Float[Tensor, "2 S {out} {source}"]:
    """`resize_weights` of all intervals of whole pixels, (2, S, out, source): S = (n^2 + n) / 2.

    Intervals are in the order of `_interval_number`. The second half is flipped. Small images have
    few intervals, so a lookup is much cheaper than computing the weights for each batch.
    """
    length = np.repeat(np.arange(1, source + 1), np.arange(source, 0, -1))
    start = np.concatenate([np.arange(source - n + 1) for n in range(1, source + 1)])
    low, extent = (torch.as_tensor(v, dtype=torch.float32, device=device) for v in (start, length))
    weights = resize_weights(low, extent / out, out, source, low, low + extent)
    return torch.stack([weights, weights.flip(1)])


def _interval_number(start: np.ndarray, length: np.ndarray, source: int) -> np.ndarray:
    """Index of intervals among all those of `source` pixels: by length, then by start."""
    shorter = length - 1
    return shorter * source - shorter * (shorter - 1) // 2 + start


def resize_weights(
    start: Float[Tensor, " B"],
    scale: Float[Tensor, " B"],
    out: int,
    source: int,
    low: Float[Tensor, " B"],
    high: Float[Tensor, " B"],
    flipped: Bool[Tensor, " B"] | None = None,
) -> Float[Tensor, "B {out} {source}"]:
    """Antialiased bilinear weights along one axis, (B, out, source).

    Args:
        start: start of the crop in source pixels, (B,).
        scale: source pixels per output pixel, (B,).
        out: number of output pixels.
        source: number of source pixels.
        low: first source pixel with a weight, (B,).
        high: one past the last, (B,).
        flipped: whether to reverse the output, (B,) bool.
    """
    ticks = torch.arange(out, device=start.device, dtype=start.dtype) + 0.5  # (out,)
    if flipped is not None:
        ticks = torch.where(flipped[:, None], out - ticks, ticks)  # (B, out)
    centers = start[:, None] + ticks * scale[:, None]  # (B, out)
    pixels = torch.arange(source, device=start.device, dtype=start.dtype)
    reach = scale.clamp(min=1.0)[:, None, None]
    # In place: on CPUs, allocating intermediate results costs more than the arithmetic.
    weights = pixels + 0.5 - centers[:, :, None]  # distances, (B, out, source)
    weights.abs_().div_(reach).neg_().add_(1).clamp_(min=0)  # 1 - |distance| / reach
    allowed = (pixels >= low[:, None]) & (pixels < high[:, None])  # (B, source)
    weights.mul_(allowed[:, None, :].to(weights.dtype))
    # Rows without any allowed pixel stay zero, hence black, like torchvision's padding.
    return weights.div_(weights.sum(dim=2, keepdim=True).clamp_(min=1e-6))
