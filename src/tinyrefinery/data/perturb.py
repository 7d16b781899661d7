"""Perturb images: exposure, defocus, camera shift, sensor noise and JPEG compression."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from tinyrefinery import random
from tinyrefinery.options.perturbation import Perturbation


def perturb(images: np.ndarray, ids: Sequence[str], how: Perturbation) -> np.ndarray:
    """Apply gain, blur, shift, noise and JPEG, as far as `how` sets them, in this order.

    A gain of 1 and a shift of 0 change nothing.

    Args:
        images: (B, C, h, w) floats in 0-255.
        ids: of the images. An image's noise depends on its id only.
        how: the perturbation.

    Returns:
        (B, C, h, w) float32 in 0-255.
    """
    images = images.astype(np.float32)
    if how.gain is not None:
        images = np.clip(images * np.float32(how.gain), 0, 255)
    if how.blur is not None:
        images = _blur(images, how.blur)
    if how.shift is not None:
        images = _shift(images, *how.shift)
    if how.noise is not None:
        images = _add_noise(images, ids, how.noise)
    if how.jpeg is not None:
        images = np.stack([_compress(image, how.jpeg) for image in images])
    return images


def _blur(images: np.ndarray, sigma: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(images, (0, 0, sigma, sigma), mode="nearest")


def _shift(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Shift by whole pixels and repeat the edge."""
    height, width = images.shape[2:]
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return images[:, :, rows][:, :, :, columns]


def _add_noise(images: np.ndarray, ids: Sequence[str], std: float) -> np.ndarray:
    noise = [random.generator(0, f"noise {id}").standard_normal(images.shape[1:]) for id in ids]
    scaled = np.stack(noise).astype(np.float32) * np.float32(255 * std)
    return np.clip(images + scaled, 0, 255)


def _compress(image: np.ndarray, quality: int) -> np.ndarray:
    """One image (C, h, w) after encoding and decoding as JPEG."""
    pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(
        buffer, "JPEG", quality=quality
    )
    decoded = np.asarray(Image.open(buffer), np.float32)
    return decoded.reshape(*decoded.shape[:2], -1).transpose(2, 0, 1)  # (h, w, C) -> (C, h, w)
