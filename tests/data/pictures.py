"""Small pictures for data tests."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def pixels(seed: int, height: int = 8, width: int = 8, channels: int = 3) -> np.ndarray:
    """A smooth picture that JPEG keeps well, uint8 (H, W, C); another one for each seed."""
    corners = np.random.default_rng(seed).integers(0, 256, (2, 2, channels)).astype(np.float64)
    y, x = np.linspace(0, 1, height)[:, None, None], np.linspace(0, 1, width)[None, :, None]
    top = corners[0, 0] * (1 - x) + corners[0, 1] * x
    bottom = corners[1, 0] * (1 - x) + corners[1, 1] * x
    return np.round(top * (1 - y) + bottom * y).astype(np.uint8)


def encoded(array: np.ndarray, kind: str = "png", **options: Any) -> bytes:
    """The content of an image file with these pixels."""
    stream = BytesIO()
    Image.fromarray(array.squeeze()).save(stream, kind, **options)
    return stream.getvalue()


def picture(seed: int, height: int = 8, width: int = 8, kind: str = "png", **options: Any) -> bytes:
    """The content of an image file; another one for each seed."""
    return encoded(pixels(seed, height, width), kind, **options)


def write(path: Path, content: bytes) -> Path:
    """Write a file, and its folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def class_folders(root: Path, each: int = 10, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    """ROOT/CLASS/0.png ... with different pictures."""
    for number, name in enumerate(classes):
        for i in range(each):
            write(root / name / f"{i}.png", picture(1000 * number + i))
    return root
