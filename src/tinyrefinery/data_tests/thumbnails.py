"""Small pictures as data: addresses, in the smaller of two formats."""

import io
from base64 import b64encode

import numpy as np
from PIL import Image

SIDE = 96
"""Longest side in pixels; larger pictures are shrunk to it."""


def thumbnail(pixels: np.ndarray, side: int = SIDE) -> str:
    """uint8 pixels (H, W, 1, 3 or 4) as a data: address; never enlarged.

    PNG for small and drawn pictures, JPEG for photographs: whichever is smaller.
    """
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    if max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    files = {"png": _encoded(image, "PNG", optimize=True)}
    if image.mode in ("L", "RGB"):
        files["jpeg"] = _encoded(image, "JPEG", quality=80)
    kind = min(files, key=lambda name: len(files[name]))
    return f"data:image/{kind};base64," + b64encode(files[kind]).decode()


def _encoded(image: Image.Image, kind: str, **options: int | bool) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
