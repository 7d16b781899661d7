"""Changes that copies of pictures have undergone, uint8 (H, W, 3) to the same."""

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps


def _gray(image):
    return image.convert("L").convert("RGB")


def _crop(image):
    width, height = image.size
    x, y = round(width * 0.025), round(height * 0.025)
    inner = image.crop((x, y, width - x, height - y))
    return inner.resize(image.size, Image.Resampling.BICUBIC)


def _caption(image):
    image = image.copy()
    width, height = image.size
    top = height - round(height * 0.12)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, top, width, height), fill=(0, 0, 0))
    draw.text((width * 0.1, top), "A caption", fill=(255, 255, 255))
    return image


def _border(image):
    thick = max(1, round(min(image.size) * 0.03))
    return ImageOps.expand(image, thick, (255, 255, 255)).resize(image.size)


_CHANGES = {
    "gray": _gray,
    "saturation": lambda image: ImageEnhance.Color(image).enhance(0.3),
    "crop": _crop,
    "turn": lambda image: image.rotate(2, Image.Resampling.BICUBIC),
    "caption": _caption,
    "border": _border,
}
CHANGES = {
    name: (lambda pixels, change=change: np.asarray(change(Image.fromarray(pixels))))
    for name, change in _CHANGES.items()
}
