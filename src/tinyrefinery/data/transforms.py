"""Transform the pixels of whole batches, on any device.

Cropping and resizing is separable and linear: out = Wy . X . Wx^T, with the weights of `resizing`.
For small resident images, two batched matrix products compute all crops of a batch. Photographs
would need too large weights, so they are resized one by one as uint8.
`tests/data/test_transforms.py` compares both with torchvision: they differ by at most 0.01 gray
levels of 255 for the products, and by 1 where the resize rounds to uint8.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tinyrefinery.data.augmentation import Crops
from tinyrefinery.data.device import constant, to_device
from tinyrefinery.data.images import Images, ResidentImages
from tinyrefinery.data.resizing import crop_weights

# Luminance weights of ITU-R BT.601, as in Pillow and torchvision.
GRAY = (0.2989, 0.587, 0.114)

# Numbers to process at once on a CPU. They and the results should fit in the level 2 cache, a
# megabyte on current servers. Measured at 32 and 224 pixels.
CACHED = 100_000
SMALL = 160
"""Longest side in pixels of resident images that are resized without rounding to 8 bits."""


def crop_resident(images: Tensor, crops: Crops, size: tuple[int, int]) -> Tensor:
    """Crop, resize and flip images of one size: uint8 (B, C, H, W) -> float (B, C, h, w), 0-255.

    Resized crops have the channels last in memory.
    """
    # Boxes of copied crops have one size, so this is the same for every crop of a batch.
    if crops.copied and len(crops.boxes) and (crops.boxes[0, 2:] != size).any():
        # Weights of the image alone would stretch it over the black margin: copy, then resize.
        height, width = crops.boxes[0, 2:].astype(int).tolist()
        copied = crop_resident(images, crops, (height, width))
        return F.interpolate(copied, size, mode="bilinear", antialias=True)
    if crops.copied and images.device.type == "cpu":
        return _shift(images, crops, size)
    height, width = images.shape[2:]
    return _apply_weights(images, *crop_weights((height, width), crops, size, images.device))


def _apply_weights(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Both products: (B, C, H, W) by (B, h, H) and (B, w, W) -> (B, C, h, w), channels last."""
    batch, channels, image_h, image_w = images.shape
    if batch == 1 and images.device.type == "cpu":  # see `_chunks`
        pair = (tensor.expand(2, *tensor.shape[1:]) for tensor in (images, rows, columns))
        return _apply_weights(*pair)[:1]
    out = columns.new_empty(batch, rows.shape[1], columns.shape[1] * channels)  # (B, h, w C)
    for chunk in _chunks(batch, channels * image_h * image_w, images.device):
        lines = images[chunk].float().reshape(-1, channels * image_h, image_w)  # (b, C H, W)
        # Transposed products put the channels last without a copy:
        # (w, W) by (W, C H) is (w C, H), then (h, H) by (H, w C) is (h, w C).
        narrow = torch.bmm(columns[chunk], lines.transpose(1, 2)).view(len(lines), -1, image_h)
        torch.bmm(rows[chunk], narrow.transpose(1, 2), out=out[chunk])
    return out.view(batch, rows.shape[1], -1, channels).permute(0, 3, 1, 2)  # (B, C, h, w)


def _chunks(length: int, width: int, device: torch.device) -> list[slice]:
    """Slices of `length` items of `width` numbers that fit in a CPU core's cache.

    No slice has a single item. With several threads, torch computes a single product differently
    from several, in the last bit. Then a crop would depend on the size of its batch.
    """
    step = max(2, CACHED // max(1, width) if device.type == "cpu" else length)
    starts = range(0, max(min(1, length), length - 1), step)
    return [slice(i, j) for i, j in pairwise([*starts, length])]


def _shift(images: Tensor, crops: Crops, size: tuple[int, int]) -> Tensor:
    """Copy crops that need no resizing: the same pixels, faster than by the products."""
    height, width = images.shape[2:]
    overhang = np.concatenate([-crops.boxes[:, :2], crops.boxes[:, :2] + size - (height, width)])
    margin = int(max(overhang.max(), 0))
    padded = F.pad(images, (margin,) * 4).numpy() if margin else images.numpy()
    corners = crops.boxes[:, :2].astype(np.int64) + margin
    out = np.empty((*images.shape[:2], *size), dtype=np.uint8)
    for i, (top, left) in enumerate(corners.tolist()):
        crop = padded[i, :, top : top + size[0], left : left + size[1]]
        out[i] = crop[:, :, ::-1] if crops.flip[i] else crop
    return torch.from_numpy(out).float()


def crop_one(image: np.ndarray, crops: Crops, i: int, size: tuple[int, int]) -> Tensor:
    """Crop, resize and flip one uint8 image (H, W, C) by draw `i`: uint8 (h, w, C)."""
    pixels = torch.from_numpy(image)
    if crops.resized is not None:
        pixels = resize_pixels(pixels, (int(crops.resized[i, 0]), int(crops.resized[i, 1])))
    top, left, height, width = (int(v) for v in crops.boxes[i])
    bottom, right = top + height, left + width
    outside = (-min(left, 0), max(right - pixels.shape[1], 0))
    outside += (-min(top, 0), max(bottom - pixels.shape[0], 0))
    pixels = pixels[max(top, 0) : bottom, max(left, 0) : right]
    if any(outside):
        pixels = F.pad(pixels, (0, 0, *outside))
    pixels = resize_pixels(pixels, size)
    return pixels.flip(1) if crops.flip[i] else pixels


def resize_pixels(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize uint8 (H, W, C) to (h, w, C)."""
    if tuple(pixels.shape[:2]) == size:
        return pixels
    # Add the batch dimension before permuting. These strides tell torch that the channels are last
    # in memory, and it keeps them there. Else it reorders the result, which takes as long again.
    images = pixels.contiguous()[None].permute(0, 3, 1, 2)
    return F.interpolate(images, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0)


def crop_batches(
    images: Images, rows: np.ndarray, draws: Sequence[Crops], sizes: Sequence[tuple[int, int]]
) -> list[Tensor]:
    """Crop manifest rows by each of several draws. Decodes each image once.

    Args:
        images: the pixels.
        rows: manifest rows, (B,).
        draws: crops of these rows.
        sizes: height and width to render each draw at.

    Returns:
        One tensor per draw, float (B, C, h, w) in 0-255, flipped but not yet rotated or recolored.
        It is on the device of resident images, else on the CPU.
    """
    # Dense weights cost H*W per pixel. On CPUs, resizing one by one is faster for larger images.
    if isinstance(images, ResidentImages) and max(images.array.shape[2:]) <= SMALL:
        selected = images.array.index_select(0, to_device(rows, images.array.device))
        return [crop_resident(selected, *draw) for draw in zip(draws, sizes, strict=True)]
    # Decoders and the resize have the channels last. So has the batch, to need one copy only.
    batches = [torch.empty((len(rows), *size, images.channels)) for size in sizes]
    for i, row in enumerate(rows):
        pixels = np.ascontiguousarray(images.pixels(int(row)))
        for batch, crops, size in zip(batches, draws, sizes, strict=True):
            batch[i] = crop_one(pixels, crops, i, size)
    return [batch.permute(0, 3, 1, 2) for batch in batches]  # (B, h, w, C) -> (B, C, h, w)


def rotate(images: Tensor, angle: Tensor) -> Tensor:
    """Rotate images about their centers, counter-clockwise. Corners become black.

    Args:
        images: (B, C, h, w) float.
        angle: (B,) degrees.
    """
    h, w = images.shape[2:]
    turn = torch.deg2rad(to_device(angle, images.device).to(images.dtype))
    cos, sin, zero = turn.cos(), turn.sin(), torch.zeros_like(turn)
    # (B, 2, 3): from output to input in normalized coordinates; the ratio keeps pixels square.
    theta = torch.stack(
        [torch.stack([cos, -sin * h / w, zero], 1), torch.stack([sin * w / h, cos, zero], 1)], 1
    )
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def recolor(images: Tensor, factors: Tensor) -> Tensor:
    """Change brightness, contrast, saturation and hue, in this order (ColorJitter's is random).

    Args:
        images: (B, C, h, w) float in 0-255; saturation and hue don't apply to gray images (C = 1).
        factors: (B, 4): three factors and a hue shift in turns.
    """
    has_hue = bool(factors[:, 3].any())  # checked before the move, so that the host doesn't wait
    factors = to_device(factors, images.device).to(images.dtype)
    brightness, contrast, saturation = (factors[:, i, None, None, None] for i in range(3))
    images = (images * brightness).clamp(0, 255)
    mean = _gray(images).mean(dim=(2, 3), keepdim=True)
    images = (images * contrast + mean * (1 - contrast)).clamp(0, 255)
    if images.shape[1] == 1:
        return images
    images = (images * saturation + _gray(images) * (1 - saturation)).clamp(0, 255)
    if not has_hue:
        return images
    return _shift_hue(images, factors[:, 3, None, None])


def _gray(images: Tensor) -> Tensor:
    if images.shape[1] == 1:
        return images
    weights = constant(GRAY, images.device, images.dtype)
    return (images * weights[:, None, None]).sum(dim=1, keepdim=True)


def _shift_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Rotate the hue of RGB images in the HSV hexcone (Smith, 1978) at constant value and chroma.

    Args:
        images: (B, 3, h, w).
        turns: (B, 1, 1), hue shifts.
    """
    red, green, blue = images.unbind(1)
    value, low = images.amax(1), images.amin(1)
    chroma = value - low
    safe = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    sector = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    hue = sector / 6 + turns
    offsets = constant((5.0, 3.0, 1.0), images.device, images.dtype)
    k = (offsets[:, None, None] + hue[:, None] * 6) % 6
    return value[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp(0, 1)


def normalize_(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Map 0-255 to (x / 255 - mean) / std in place, per channel.

    For gray images, mean and std are averaged over the channels.

    Args:
        images: (B, C, h, w) float, overwritten.
        mean: per channel, in 0-1.
        std: per channel, in 0-1.

    Returns:
        `images`.
    """
    if images.shape[1] == 1:
        mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
    # x * scale + offset, with constants computed in float64
    scale = constant(tuple(1 / (255 * s) for s in std), images.device, images.dtype)
    shifts = tuple(-m / s for m, s in zip(mean, std, strict=True))
    offset = constant(shifts, images.device, images.dtype)
    if images.shape[1] > 1 and images.is_contiguous(memory_format=torch.channels_last):
        # A few channels don't fill a CPU's vectors. Process whole lines of pixels instead.
        lines = images.permute(0, 2, 3, 1).flatten(2)  # (B, h, w C), a view
        scale, offset = scale.repeat(images.shape[3]), offset.repeat(images.shape[3])
        torch.addcmul(offset, lines, scale, out=lines)
        return images
    for chunk in _chunks(len(images), images[:1].numel(), images.device):
        images[chunk].mul_(scale[:, None, None]).add_(offset[:, None, None])
    return images
