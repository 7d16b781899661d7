"""Small pictures as data: addresses."""

import io
from base64 import b64encode
from typing import Any

import numpy as np
from PIL import Image, features

SIDE = 96
"""Longest side in pixels; larger pictures are shrunk to it."""
EXACT = 3200
"""Numbers (pixels times channels) up to which a picture is kept exactly, as 32 x 32 RGB is."""
QUALITY = 75
"""Of larger ones: 500 photographs, each also as a network sees it at 96 pixels, take 2.5 MB."""


def thumbnail(pixels: np.ndarray, side: int = SIDE) -> str:
    """uint8 pixels (H, W, 1, 3 or 4) as a data: address; never enlarged.

    WebP, lossless for tiny pictures; PNG and JPEG where Pillow was built without it.
    """
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    if max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    exact = image.width * image.height * len(image.getbands()) <= EXACT
    if features.check("webp"):
        return _encoded(image, "webp", lossless=exact, quality=QUALITY)
    if exact or image.mode == "RGBA":
        return _encoded(image, "png", optimize=True)
    return _encoded(image, "jpeg", quality=QUALITY, optimize=True)


def _encoded(image: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind};base64," + b64encode(buffer.getvalue()).decode()
