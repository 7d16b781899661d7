"""Changes of copied pictures that the thresholds of near copies were not chosen on."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

Change = Callable[[Image.Image], Image.Image]


def held_out_changes() -> dict[str, Change]:
    """Name of each change, and the function that makes it."""
    random = np.random.default_rng(3)

    def noisy(image: Image.Image) -> Image.Image:
        pixels = np.asarray(image, float)
        return from_array(pixels + random.normal(0, 16, pixels.shape))

    return {
        "crop 90 %": lambda image: crop(image, 0.05, 0.05, 0.95, 0.95),
        "crop 80 %": lambda image: crop(image, 0.1, 0.1, 0.9, 0.9),
        "left and top 8 % cut off": lambda image: crop(image, 0.08, 0.08, 1, 1),
        "sides cut off, 10 % in all": lambda image: crop(image, 0.05, 0, 0.95, 1),
        "turned by 4 degrees": lambda image: image.rotate(4, Image.Resampling.BICUBIC),
        "turned by 90 degrees": lambda image: image.transpose(Image.Transpose.ROTATE_90),
        "upside down": ImageOps.flip,
        "JPEG quality 15": lambda image: saved(image, "JPEG", 15),
        "WebP quality 30": lambda image: saved(image, "WEBP", 30),
        "a third of the size": third,
        "blurred by 1.5 % of the side": lambda image: image.filter(
            ImageFilter.GaussianBlur(0.015 * min(image.size))
        ),
        "sharpened": lambda image: ImageEnhance.Sharpness(image).enhance(3),
        "noise 16": noisy,
        "gamma 0.5": lambda image: from_array(255 * (np.asarray(image) / 255) ** 0.5),
        "gamma 2": lambda image: from_array(255 * (np.asarray(image) / 255) ** 2),
        "contrast 0.4": lambda image: ImageEnhance.Contrast(image).enhance(0.4),
        "8 gray levels": lambda image: ImageOps.posterize(image, 3),
        "negative": ImageOps.invert,
        "word across the middle": word,
        "patch over 20 % of the area": patch,
    }


def from_array(pixels: np.ndarray) -> Image.Image:
    """The picture of some values, rounded and cut to 0 to 255."""
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def crop(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """A part of the picture, in shares of its sides, at the picture's size."""
    width, height = image.size
    box = round(left * width), round(top * height), round(right * width), round(bottom * height)
    return image.crop(box).resize(image.size, Image.Resampling.BICUBIC)


def saved(image: Image.Image, kind: str, quality: int) -> Image.Image:
    """The picture after it was saved with loss."""
    file = io.BytesIO()
    image.save(file, kind, quality=quality)
    return Image.open(file).convert(image.mode)


def third(image: Image.Image) -> Image.Image:
    """The picture with a third of the pixels per side."""
    size = max(1, image.width // 3), max(1, image.height // 3)
    return image.resize(size, Image.Resampling.BICUBIC)


def word(image: Image.Image) -> Image.Image:
    """The picture with a word across its middle, like a watermark."""
    image = image.copy()
    size = max(6, 0.2 * image.width)
    place = 0.1 * image.width, 0.5 * image.height - 0.5 * size
    white = 255 if image.mode == "L" else (255, 255, 255)
    ImageDraw.Draw(image).text(place, "SAMPLE", fill=white, font_size=size)
    return image


def patch(image: Image.Image) -> Image.Image:
    """The picture with a gray patch over its middle."""
    image = image.copy()
    half = 0.5 * 0.2**0.5
    width, height = image.size
    box = [(0.5 - half) * width, (0.5 - half) * height]
    box += [(0.5 + half) * width, (0.5 + half) * height]
    gray = 128 if image.mode == "L" else (128, 128, 128)
    ImageDraw.Draw(image).rectangle(box, fill=gray)
    return image
