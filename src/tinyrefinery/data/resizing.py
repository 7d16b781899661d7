"""Antialiased bilinear weights: what each pixel of the source adds to each pixel of a crop.

The filter is the triangle that Pillow and torch antialias with, as wide as an output pixel where
the image shrinks. Rows and columns are weighted apart from each other.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from tinyrefinery.data.crops import Crops
from tinyrefinery.data.moving import moved
from tinyrefinery.shapes import Bool, Float

# Numbers in a table of weights: 16 MB, enough for images of 44 pixels. Larger ones have so much
# more to multiply that working their weights out doesn't show.
TABLE = 1 << 22

RowsAndColumns = tuple[Float[Tensor, "B h H"], Float[Tensor, "B w W"]]


def crop_weights(
    sides: tuple[int, int], crops: Crops, size: tuple[int, int], device: torch.device
) -> RowsAndColumns:
    """Weights of the rows (B, h, H) and columns (B, w, W) of crops; flips lie in the columns.

    Args:
        sides: height and width of the images in pixels.
        crops: the draws.
        size: height and width of the crops in pixels.
        device: where the weights are wanted.
    """
    found = looked_up(sides, crops, size, device)
    return worked_out(sides, crops, size, device) if found is None else found


def looked_up(
    sides: tuple[int, int], crops: Crops, size: tuple[int, int], device: torch.device
) -> RowsAndColumns | None:
    """`crop_weights` from tables; None where no table holds them."""
    boxes = crops.boxes.astype(np.int64)
    small = all(n * n * (n + 1) * out <= TABLE for n, out in zip(sides, size, strict=True))
    inside = (boxes[:, :2] >= 0) & (boxes[:, :2] + boxes[:, 2:] <= sides) & (boxes[:, 2:] > 0)
    if not small or crops.resized is not None or (boxes != crops.boxes).any() or not inside.all():
        return None
    mirrored = (np.zeros(len(boxes), bool), crops.flip)
    found = []
    for axis, (n, out) in enumerate(zip(sides, size, strict=True)):
        table = stretch_weights(out, n, device)
        which = _number(boxes[:, axis], boxes[:, axis + 2], n) + mirrored[axis] * table.shape[1]
        found.append(table.flatten(0, 1).index_select(0, moved(which, device)))
    return found[0], found[1]


def worked_out(
    sides: tuple[int, int], crops: Crops, size: tuple[int, int], device: torch.device
) -> RowsAndColumns:
    """`crop_weights` of any crops."""
    image_h, image_w = sides
    boxes = moved(torch.as_tensor(crops.boxes, dtype=torch.float32), device)
    top, left, height, width = boxes.unbind(1)
    if crops.resized is None:
        # Cut, then resize: no pixel outside the box takes part.
        zoom_y, zoom_x = height / size[0], width / size[1]
        bounds_y = top.clamp(min=0), (top + height).clamp(max=image_h)
        bounds_x = left.clamp(min=0), (left + width).clamp(max=image_w)
    else:
        # Resize, then cut: the filter may reach across the cut.
        resized = moved(torch.as_tensor(crops.resized, dtype=torch.float32), device)
        zoom_y, zoom_x = image_h / resized[:, 0], image_w / resized[:, 1]
        bounds_y = torch.zeros_like(top), torch.full_like(top, image_h)
        bounds_x = torch.zeros_like(top), torch.full_like(top, image_w)
        top, left = top * zoom_y, left * zoom_x
    flip = moved(crops.flip, device)
    rows = resize_weights(top, zoom_y, size[0], image_h, *bounds_y)
    return rows, resize_weights(left, zoom_x, size[1], image_w, *bounds_x, mirrored=flip)


@lru_cache(maxsize=8)
def stretch_weights(
    out: int, source: int, device: torch.device
) -> Float[Tensor, "2 S {out} {source}"]:
    """`resize_weights` of every stretch of whole pixels, (2, S, out, source): S = (n^2 + n) / 2.

    The stretches stand in the order of `_number`; the second half is mirrored. A small image has
    so few of them that looking them up costs a fraction of working them out for every batch.
    """
    length = np.repeat(np.arange(1, source + 1), np.arange(source, 0, -1))
    start = np.concatenate([np.arange(source - n + 1) for n in range(1, source + 1)])
    low, extent = (torch.as_tensor(v, dtype=torch.float32, device=device) for v in (start, length))
    weights = resize_weights(low, extent / out, out, source, low, low + extent)
    return torch.stack([weights, weights.flip(1)])


def _number(start: np.ndarray, length: np.ndarray, source: int) -> np.ndarray:
    """The place of stretches of pixels among those of `source` pixels: by length, then by start."""
    shorter = length - 1
    return shorter * source - shorter * (shorter - 1) // 2 + start


def resize_weights(
    start: Float[Tensor, " B"],
    scale: Float[Tensor, " B"],
    out: int,
    source: int,
    low: Float[Tensor, " B"],
    high: Float[Tensor, " B"],
    mirrored: Bool[Tensor, " B"] | None = None,
) -> Float[Tensor, "B {out} {source}"]:
    """Rows of antialiased bilinear weights, (B, out, source).

    Args:
        start: where the crop begins in source pixels, (B,).
        scale: source pixels an output pixel spans, (B,).
        out: output pixels.
        source: source pixels.
        low: first source pixel that may be used, (B,).
        high: one past the last, (B,).
        mirrored: which crops come out back to front, (B,) bool.
    """
    ticks = torch.arange(out, device=start.device, dtype=start.dtype) + 0.5
    if mirrored is not None:
        ticks = torch.where(mirrored[:, None], out - ticks, ticks)
    centers = start[:, None] + ticks * scale[:, None]  # (B, out)
    pixels = torch.arange(source, device=start.device, dtype=start.dtype)
    reach = scale.clamp(min=1.0)[:, None, None]
    # In place: on CPUs, memory for results in between costs more than the arithmetic.
    weights = pixels + 0.5 - centers[:, :, None]  # distances
    weights.abs_().div_(reach).neg_().add_(1).clamp_(min=0)  # 1 - |distance| / reach
    allowed = (pixels >= low[:, None]) & (pixels < high[:, None])  # (B, source)
    weights.mul_(allowed[:, None, :].to(weights.dtype))
    # Rows without any allowed pixel stay zero: black, as torchvision pads.
    return weights.div_(weights.sum(dim=2, keepdim=True).clamp_(min=1e-6))
