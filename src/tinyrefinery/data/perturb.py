"""Changed images: what a camera, a lens, a mount and a file format do to what a network sees."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from tinyrefinery import random
from tinyrefinery.options.perturbation import Perturbation


def perturb(images: np.ndarray, ids: Sequence[str], how: Perturbation) -> np.ndarray:
    """Images after those of gain, blur, shift, noise and JPEG that `how` names, in this order.

    Gains and shifts of nothing give the very same numbers.

    Args:
        images: (B, C, h, w) floats in 0-255.
        ids: of the images; an image's noise is a function of its id alone.
        how: the changes.

    Returns:
        (B, C, h, w) float32 in 0-255.
    """
    changed = images.astype(np.float32)
    if how.gain is not None:
        changed = np.clip(changed * np.float32(how.gain), 0, 255)
    if how.blur is not None:
        changed = _blurred(changed, how.blur)
    if how.shift is not None:
        changed = _shifted(changed, *how.shift)
    if how.noise is not None:
        changed = _noisy(changed, ids, how.noise)
    if how.jpeg is not None:
        changed = np.stack([_through_jpeg(image, how.jpeg) for image in changed])
    return changed


def _blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(images, (0, 0, sigma, sigma), mode="nearest")


def _shifted(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Images moved by whole pixels; what comes in repeats the edge."""
    height, width = images.shape[2:]
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return images[:, :, rows][:, :, :, columns]


def _noisy(images: np.ndarray, ids: Sequence[str], std: float) -> np.ndarray:
    noise = [random.generator(0, f"noise {id}").standard_normal(images.shape[1:]) for id in ids]
    added = np.stack(noise).astype(np.float32) * np.float32(255 * std)
    return np.clip(images + added, 0, 255)


def _through_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """One image (C, h, w) as a JPEG file gives it back."""
    pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(
        buffer, "JPEG", quality=quality
    )
    read = np.asarray(Image.open(buffer), np.float32)
    return read.reshape(*read.shape[:2], -1).transpose(2, 0, 1)
