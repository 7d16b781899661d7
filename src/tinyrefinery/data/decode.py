"""Decode image files to uint8 pixels.

libjpeg-turbo (simplejpeg) decodes JPEG. Pillow decodes all other formats, and the JPEGs that
simplejpeg doesn't support (CMYK, harmless stray bytes). Both follow the same rules:

* EXIF orientation is applied, as in image viewers, so photographs are upright.
* Transparency is dropped, as by `Image.convert("RGB")`. The colors below it become visible.
* 16-bit images are reduced to the high byte, animations to the first frame.
* Gray becomes RGB by repetition. RGB becomes gray by ITU-R 601 luma.
* A truncated or damaged JPEG is broken, even if a decoder could fill in the missing part.
"""

import re
from io import BytesIO
from math import ceil

import numpy as np
import simplejpeg
from PIL import Image, ImageOps

from tinyrefinery.errors import DataError
from tinyrefinery.reading.limits import too_large_remedy, too_many_bytes, too_many_pixels

_JPEG = b"\xff\xd8"
_MAGIC = (_JPEG, b"\x89PNG", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")
_EXIF = b"Exif\0\0"
_EXIF_SEARCH_BYTES = 1 << 16  # of the header segments that come before the pixels
_SCAN = 0xDA  # marker of the segment right before the pixels
_ORIENTATION = 0x0112  # EXIF tag
_TURNED = (5, 6, 7, 8)  # orientations that exchange height and width
_DAMAGE = ("premature end", "bad huffman", "corrupt data", "no image")


class BrokenImageError(DataError):
    """The bytes are not a complete image. The message is the reason, without the file's name."""


def decode(data: bytes, channels: int = 3, longest: int | None = None) -> np.ndarray:
    """Decode an image to uint8 (H, W, channels), C-contiguous.

    Args:
        data: the contents of an image file.
        channels: 3 for RGB, 1 for gray.
        longest: minimum length of the longer side in pixels. Larger JPEGs may be decoded at a half,
            a quarter or an eighth, which is several times faster. None: full size.

    Raises:
        BrokenImageError: if the bytes are not a complete image.
    """
    if not data:
        raise BrokenImageError("zero bytes")
    if reason := too_many_bytes(len(data)):
        raise BrokenImageError(reason)
    pixels = _decode_jpeg(data, channels, longest) if data[:2] == _JPEG else None
    return _decode_with_pillow(data, channels) if pixels is None else pixels


def image_size(data: bytes) -> tuple[int, int]:
    """Height and width in pixels that `decode` gives, read from the header only.

    Raises:
        BrokenImageError: if the bytes do not begin like an image.
    """
    if not data:
        raise BrokenImageError("zero bytes")
    if data[:2] == _JPEG:
        try:
            height, width, *_ = simplejpeg.decode_jpeg_header(data)
            return _upright_size(int(height), int(width), jpeg_orientation(data))
        except ValueError:
            pass  # let Pillow try
    try:
        image = Image.open(BytesIO(data))
        # Pillow's size of a TIFF is upright already.
        turn = 1 if image.format == "TIFF" else image.getexif().get(_ORIENTATION, 1)
        return _upright_size(image.height, image.width, turn)
    except Image.UnidentifiedImageError as error:
        raise _unidentified(data) from error
    except Exception as error:  # Pillow's plugins raise almost anything on damaged bytes
        raise BrokenImageError(f"damaged image ({error or type(error).__name__})") from error


def to_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Convert uint8 (..., 1 or 3) to (..., channels): repeat gray, or compute the luma of RGB."""
    if pixels.shape[-1] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=-1)
    # ITU-R 601 in rounded 16-bit fixed point, exactly as Pillow's convert("L").
    weights = np.array([19595, 38470, 7471], np.uint32)
    return ((pixels @ weights + 0x8000) >> 16).astype(np.uint8)[..., None]


def _decode_jpeg(data: bytes, channels: int, longest: int | None) -> np.ndarray | None:
    """Decode a JPEG with simplejpeg; None to let Pillow try."""
    try:
        height, width, colorspace, *_ = simplejpeg.decode_jpeg_header(data)
        height, width = int(height), int(width)
        if reason := too_many_pixels(height, width):
            raise BrokenImageError(reason)
        if colorspace in ("CMYK", "YCCK"):
            return None  # Pillow detects inverted colors
        scale = 1.0 if longest is None else min(1.0, longest / max(height, width))
        # 0 means full size.
        min_height, min_width = (ceil(n * scale) if scale < 1 else 0 for n in (height, width))
        colorspace = "RGB" if channels == 3 else "GRAY"
        pixels = simplejpeg.decode_jpeg(
            data, colorspace, min_height=min_height, min_width=min_width
        )
    except ValueError as error:
        if any(word in str(error).lower() for word in _DAMAGE):
            raise BrokenImageError(f"damaged or truncated JPEG ({error})") from error
        return None
    return _upright(pixels, jpeg_orientation(data))


def _decode_with_pillow(data: bytes, channels: int) -> np.ndarray:
    try:
        image = Image.open(BytesIO(data))
        if reason := too_many_pixels(image.height, image.width):
            raise BrokenImageError(reason)
        return pixels_of_picture(image, channels)
    except Image.UnidentifiedImageError as error:
        raise _unidentified(data) from error
    except BrokenImageError:
        raise
    except Image.DecompressionBombError as error:  # Pillow checks before it decodes
        raise BrokenImageError(_bomb(error)) from error
    except Exception as error:  # Pillow's plugins raise almost anything on damaged bytes
        raise BrokenImageError(f"damaged image ({error or type(error).__name__})") from error


def pixels_of_picture(image: Image.Image, channels: int) -> np.ndarray:
    """Pixels of a Pillow image, upright, uint8 (H, W, C).

    Raises:
        BrokenImageError: if its pixels have no known range.
        Exception: whatever Pillow raises where the image is damaged.
    """
    image.load()
    pixels = _eight_bits(ImageOps.exif_transpose(image), "RGB" if channels == 3 else "L")
    return np.ascontiguousarray(pixels.reshape(*pixels.shape[:2], channels))


def _bomb(error: Image.DecompressionBombError) -> str:
    """Pillow's message in the words of all other formats; it names the number of pixels."""
    pixels = re.search(r"\d+", str(error))
    declared = f"{int(pixels[0]):,} pixels" if pixels else "more pixels"
    return f"too large: it declares {declared}, {too_large_remedy()}"


def _unidentified(data: bytes) -> BrokenImageError:
    what = "damaged image" if data.startswith(_MAGIC) else "not an image"
    return BrokenImageError(f"{what} (begins with {data[:8]!r})")


def _eight_bits(image: Image.Image, mode: str) -> np.ndarray:
    if image.mode == "F":
        raise BrokenImageError("floating-point pixels have no known range; convert them to 8 bits")
    if image.mode.startswith("I"):
        # "I" is Pillow's 32-bit mode for 16-bit files. Keep the high byte.
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise BrokenImageError(
                f"pixel values from {values.min()} to {values.max()}, not 16 bits"
            )
        image = Image.fromarray((values >> 8).astype(np.uint8))
    if image.mode in ("P", "PA") and "transparency" in image.info:
        image = image.convert("RGBA")  # else Pillow warns and asks for this step
    return np.array(image.convert(mode))  # a copy, as Pillow's own pixels are read-only


def jpeg_orientation(data: bytes) -> int:
    """EXIF orientation of an encoded JPEG, 1-8; 1 (upright) if it has no readable one."""
    place = data.find(_EXIF, 0, _EXIF_SEARCH_BYTES)
    if place < 0 or place + len(_EXIF) > _header_bytes(data):
        return 1
    try:
        return int(Image.open(BytesIO(data)).getexif().get(_ORIENTATION, 1))
    except Exception:  # keep images with intact pixels and damaged EXIF
        return 1


def _header_bytes(data: bytes) -> int:
    """Bytes before a JPEG's pixels (ITU-T T.81, B.1); all bytes if its segments are unreadable."""
    position = 2  # after the start marker
    while data[position : position + 1] == b"\xff" and position + 4 <= len(data):
        if data[position + 1] == _SCAN:
            return position
        # A marker may be padded with more 0xFF bytes.
        is_padding = data[position + 1] == 0xFF
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        position += 1 if is_padding else 2 + length
    return len(data)


def _upright_size(height: int, width: int, orientation: int) -> tuple[int, int]:
    return (width, height) if orientation in _TURNED else (height, width)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation (EXIF 2.3, tag 274)."""
    rotate = {
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.transpose(1, 0, 2),
        6: lambda p: np.rot90(p, -1),
        7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
        8: lambda p: np.rot90(p),
    }.get(orientation)
    return pixels if rotate is None else np.ascontiguousarray(rotate(pixels))
