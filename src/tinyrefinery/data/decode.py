"""Encoded bytes to uint8 pixels.

JPEG goes through libjpeg-turbo (simplejpeg); everything else, and what simplejpeg does not take
(CMYK, harmless stray bytes), through Pillow. Decisions, the same for both ways:

* EXIF orientation is applied, as image viewers do: a portrait photograph stands upright.
* Transparency is dropped, as `Image.convert("RGB")` does; the colors beneath it show.
* Of 16-bit images the high byte is kept; of animations the first frame.
* Grey becomes RGB by repetition; RGB becomes grey by ITU-R 601 luma.
* A JPEG whose data end early or are damaged is broken, also where a decoder could fill the hole.
"""

from io import BytesIO
from math import ceil

import numpy as np
import simplejpeg
from PIL import Image, ImageOps

from tinyrefinery.errors import DataError

_JPEG = b"\xff\xd8"
_MAGIC = (_JPEG, b"\x89PNG", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")
_EXIF_SEARCH_BYTES = 1 << 16  # of the header segments that come before the pixels
_SCAN = 0xDA  # marker of the segment that the pixels follow
_ORIENTATION = 0x0112  # EXIF tag
_DAMAGE = ("premature end", "bad huffman", "corrupt data", "no image")


class BrokenImageError(DataError):
    """Bytes that hold no whole image; the message is the reason, without the place."""


def decode(data: bytes, channels: int = 3, longest: int | None = None) -> np.ndarray:
    """Pixels of one encoded image, uint8 (H, W, channels), C-contiguous.

    Args:
        data: the content of an image file.
        channels: 3 for RGB, 1 for grey.
        longest: a longer side of so many pixels is enough: a larger JPEG may come out at a half, a
            quarter or an eighth, which is several times faster. None: every pixel.

    Raises:
        BrokenImageError: when the bytes are not one whole image.
    """
    if not data:
        raise BrokenImageError("zero bytes")
    pixels = _decode_jpeg(data, channels, longest) if data[:2] == _JPEG else None
    return _decode_with_pillow(data, channels) if pixels is None else pixels


def to_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Convert uint8 (..., 1 or 3) pixels to `channels` last: repeat grey, or take RGB's luma."""
    if pixels.shape[-1] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=-1)
    # ITU-R 601 in 16-bit fixed point, rounded: the arithmetic of Pillow's convert("L").
    weights = np.array([19595, 38470, 7471], np.uint32)
    return ((pixels @ weights + 0x8000) >> 16).astype(np.uint8)[..., None]


def _decode_jpeg(data: bytes, channels: int, longest: int | None) -> np.ndarray | None:
    """Pixels, or None when Pillow should try."""
    try:
        height, width, inks, *_ = simplejpeg.decode_jpeg_header(data)
        height, width = int(height), int(width)
        if inks in ("CMYK", "YCCK"):
            return None  # whether the inks are inverted is for Pillow to find out
        scale = 1.0 if longest is None else min(1.0, longest / max(height, width))
        # Sides of 0 ask for every pixel.
        tall, wide = (ceil(n * scale) if scale < 1 else 0 for n in (height, width))
        inks = "RGB" if channels == 3 else "GRAY"
        pixels = simplejpeg.decode_jpeg(data, inks, min_height=tall, min_width=wide)
    except ValueError as error:
        if any(word in str(error).lower() for word in _DAMAGE):
            raise BrokenImageError(f"damaged or truncated JPEG ({error})") from error
        return None
    return _upright(pixels, jpeg_orientation(data))


def _decode_with_pillow(data: bytes, channels: int) -> np.ndarray:
    try:
        image = Image.open(BytesIO(data))
        image.load()
        pixels = _eight_bits(ImageOps.exif_transpose(image), "RGB" if channels == 3 else "L")
    except Image.UnidentifiedImageError as error:
        what = "damaged image" if data.startswith(_MAGIC) else "not an image"
        raise BrokenImageError(f"{what} (begins with {data[:8]!r})") from error
    except BrokenImageError:
        raise
    except Exception as error:  # Pillow's plugins raise nearly anything on damaged bytes
        raise BrokenImageError(f"damaged image ({error or type(error).__name__})") from error
    return np.ascontiguousarray(pixels.reshape(*pixels.shape[:2], channels))


def _eight_bits(image: Image.Image, mode: str) -> np.ndarray:
    if image.mode == "F":
        raise BrokenImageError("floating-point pixels have no agreed range; convert them to 8 bits")
    if image.mode.startswith("I"):
        # "I" is Pillow's 32-bit mode for 16-bit files: high byte.
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise BrokenImageError(
                f"pixel values from {values.min()} to {values.max()}, not 16 bits"
            )
        image = Image.fromarray((values >> 8).astype(np.uint8))
    if image.mode in ("P", "PA") and "transparency" in image.info:
        image = image.convert("RGBA")  # the detour that Pillow asks for in a warning otherwise
    return np.array(image.convert(mode))  # a copy: Pillow's own pixels can't be written to


def jpeg_orientation(data: bytes) -> int:
    """EXIF orientation of an encoded JPEG, 1-8; 1 (upright) where none can be read."""
    if data.find(b"Exif\0\0", 0, min(_header_bytes(data), _EXIF_SEARCH_BYTES)) < 0:
        return 1
    try:
        return int(Image.open(BytesIO(data)).getexif().get(_ORIENTATION, 1))
    except Exception:  # pixels are whole: damaged EXIF must not cost the image
        return 1


def _header_bytes(data: bytes) -> int:
    """Bytes before a JPEG's pixels (ITU-T T.81, B.1); all where its segments can't be followed."""
    at = 2  # after the start marker
    while data[at : at + 1] == b"\xff" and at + 4 <= len(data):
        if data[at + 1] == _SCAN:
            return at
        # A marker may be filled up with more 0xFF.
        filled = data[at + 1] == 0xFF
        at += 1 if filled else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return len(data)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation (EXIF 2.3, tag 274)."""
    turned = {
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.transpose(1, 0, 2),
        6: lambda p: np.rot90(p, -1),
        7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
        8: lambda p: np.rot90(p),
    }.get(orientation)
    return pixels if turned is None else np.ascontiguousarray(turned(pixels))
