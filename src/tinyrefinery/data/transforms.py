"""Pixel work on whole batches of tensors, on any device.

Cropping and resizing is separable and linear: out = Wy . X . Wx^T, where the weights are the
triangle filter that Pillow and torch antialias with. For small images that live in memory, two
batched matrix products make a whole batch of crops at once; photographs, for which dense weights
would be too large, are resized one by one as uint8. `tests/data/test_transforms.py` holds both to
torchvision: 0.01 of 255 grey levels for the products, 1 where the resize rounds to uint8.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tinyrefinery.data.crops import Crops
from tinyrefinery.data.images import Images, ResidentImages

# Luminance weights of ITU-R BT.601, as Pillow and torchvision use.
GRAY = (0.2989, 0.587, 0.114)


def resize_weights(
    start: Tensor,
    scale: Tensor,
    out: int,
    source: int,
    low: Tensor,
    high: Tensor,
    mirrored: Tensor | None = None,
) -> Tensor:
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


def crop_resident(images: Tensor, crops: Crops, size: tuple[int, int]) -> Tensor:
    """Crop, resize and flip images of one size: uint8 (B, C, H, W) -> float (B, C, h, w), 0-255."""
    (image_h, image_w), device = images.shape[2:], images.device
    if device.type == "cpu" and crops.resized is None and (crops.boxes[:, 2:] == size).all():
        return _shift(images, crops, size)
    boxes = torch.as_tensor(crops.boxes, dtype=torch.float32).to(device)
    top, left, height, width = boxes.unbind(1)
    if crops.resized is None:
        # Cut, then resize: no pixel outside the box takes part.
        zoom_y, zoom_x = height / size[0], width / size[1]
        bounds_y = top.clamp(min=0), (top + height).clamp(max=image_h)
        bounds_x = left.clamp(min=0), (left + width).clamp(max=image_w)
    else:
        # Resize, then cut: the filter may reach across the cut.
        resized = torch.as_tensor(crops.resized, dtype=torch.float32).to(device)
        zoom_y, zoom_x = image_h / resized[:, 0], image_w / resized[:, 1]
        bounds_y = torch.zeros_like(top), torch.full_like(top, image_h)
        bounds_x = torch.zeros_like(top), torch.full_like(top, image_w)
        top, left = top * zoom_y, left * zoom_x
    rows = resize_weights(top, zoom_y, size[0], image_h, *bounds_y)
    flip = torch.as_tensor(crops.flip).to(device)
    columns = resize_weights(left, zoom_x, size[1], image_w, *bounds_x, mirrored=flip)
    batch, channels = images.shape[:2]
    wide = images.float().reshape(batch, channels * image_h, image_w)
    narrow = torch.bmm(wide, columns.transpose(1, 2)).view(batch, channels, image_h, size[1])
    return torch.matmul(rows[:, None], narrow)


def _shift(images: Tensor, crops: Crops, size: tuple[int, int]) -> Tensor:
    """Crops that need no resizing are copied: the same pixels, for less than the products cost."""
    height, width = images.shape[2:]
    reach = np.concatenate([-crops.boxes[:, :2], crops.boxes[:, :2] + size - (height, width)])
    margin = int(max(reach.max(), 0))
    padded = F.pad(images, (margin,) * 4).numpy() if margin else images.numpy()
    corners = crops.boxes[:, :2].astype(np.int64) + margin
    out = np.empty((*images.shape[:2], *size), dtype=np.uint8)
    for i, (top, left) in enumerate(corners.tolist()):
        crop = padded[i, :, top : top + size[0], left : left + size[1]]
        out[i] = crop[:, :, ::-1] if crops.flip[i] else crop
    return torch.from_numpy(out).float()


def crop_one(image: np.ndarray, crops: Crops, i: int, size: tuple[int, int]) -> Tensor:
    """Crop and resize one uint8 image (H, W, C) to uint8 (C, h, w); flips are left to the batch."""
    tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]  # channels last
    if crops.resized is not None:
        tensor = _resize(tensor, (int(crops.resized[i, 0]), int(crops.resized[i, 1])))
    top, left, height, width = (int(v) for v in crops.boxes[i])
    bottom, right = top + height, left + width
    outside = (-min(left, 0), max(right - tensor.shape[3], 0))
    outside += (-min(top, 0), max(bottom - tensor.shape[2], 0))
    tensor = tensor[:, :, max(top, 0) : bottom, max(left, 0) : right]
    if any(outside):
        tensor = F.pad(tensor, outside)
    return _resize(tensor, size)[0]


def _resize(tensor: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(tensor.shape[2:]) == size:
        return tensor
    return F.interpolate(tensor, size, mode="bilinear", antialias=True)


def crop_batch(images: Images, rows: np.ndarray, crops: Crops, size: tuple[int, int]) -> Tensor:
    """Crops of manifest rows as float (B, C, h, w) in 0-255, flipped, not yet rotated or recolored.

    The result lies on the device of resident images, else on the CPU.
    """
    # Dense weights cost H*W a pixel; past about 160 pixels the single resize wins on CPUs.
    if isinstance(images, ResidentImages) and max(images.array.shape[2:]) <= 160:
        chosen = images.array.index_select(0, torch.as_tensor(rows).to(images.array.device))
        return crop_resident(chosen, crops, size)
    # Decoders and the resize keep the channels last; so does the batch, to be copied once only.
    shape, layout = (len(rows), images.channels, *size), torch.channels_last
    batch = torch.empty(shape, dtype=torch.uint8, memory_format=layout)
    for i, row in enumerate(rows):
        crop = crop_one(images.pixels(int(row)), crops, i, size)
        batch[i] = crop.flip(2) if crops.flip[i] else crop
    return batch.float()


def rotate(images: Tensor, angle: Tensor) -> Tensor:
    """Rotate each image about its center, counter-clockwise; corners become black.

    Args:
        images: (B, C, h, w) float.
        angle: (B,) degrees.
    """
    h, w = images.shape[2:]
    turn = torch.deg2rad(angle.to(images))
    cos, sin, zero = turn.cos(), turn.sin(), torch.zeros_like(turn)
    # Output to input in normalized coordinates; the ratio keeps pixels square.
    theta = torch.stack(
        [torch.stack([cos, -sin * h / w, zero], 1), torch.stack([sin * w / h, cos, zero], 1)], 1
    )
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def recolor(images: Tensor, factors: Tensor) -> Tensor:
    """Change brightness, contrast, saturation and hue, in this order (ColorJitter draws the order).

    Args:
        images: (B, C, h, w) float in 0-255; saturation and hue leave grey images (C = 1) alone.
        factors: (B, 4): three factors and a hue shift in turns.
    """
    factors = factors.to(images)
    brightness, contrast, saturation = (factors[:, i, None, None, None] for i in range(3))
    images = (images * brightness).clamp(0, 255)
    mean = _gray(images).mean(dim=(2, 3), keepdim=True)
    images = (images * contrast + mean * (1 - contrast)).clamp(0, 255)
    if images.shape[1] == 1:
        return images
    images = (images * saturation + _gray(images) * (1 - saturation)).clamp(0, 255)
    if not factors[:, 3].any():
        return images
    return _shift_hue(images, factors[:, 3, None, None])


def _gray(images: Tensor) -> Tensor:
    if images.shape[1] == 1:
        return images
    weights = torch.tensor(GRAY, device=images.device, dtype=images.dtype)
    return (images * weights[:, None, None]).sum(dim=1, keepdim=True)


def _shift_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Rotate the hue of RGB images in the HSV hexcone (Smith, 1978), keeping value and chroma."""
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
    offsets = torch.tensor([5.0, 3.0, 1.0], device=images.device, dtype=images.dtype)
    k = (offsets[:, None, None] + hue[:, None] * 6) % 6
    return value[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp(0, 1)


def normalize(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Map 0-255 to (x / 255 - mean) / std, channel by channel; grey images use the means' mean."""
    shift, spread = torch.tensor(mean) * 255, torch.tensor(std) * 255
    if images.shape[1] == 1:
        shift, spread = shift.mean(0, keepdim=True), spread.mean(0, keepdim=True)
    shift, spread = shift.to(images)[:, None, None], spread.to(images)[:, None, None]
    return (images - shift).div_(spread)
