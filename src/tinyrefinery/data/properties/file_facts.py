"""Facts from an image file besides its pixels: format, size, compression, transparency, camera."""

from io import BytesIO
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from tinyrefinery.data.images import EncodedImages
from tinyrefinery.data.properties.jpeg_tables import plain_luma_sum
from tinyrefinery.data.properties.property_names import KINDS

# Sum of the luma quantization table, ITU-T T.81, table K.1. libjpeg scales all entries alike.
_LUMA_SUM = 3688.0
_CAMERA = (ExifTags.Base.Make, ExifTags.Base.Model)


def file_facts(images: EncodedImages, rows: np.ndarray) -> list[dict[str, Any]]:
    """The values of `KINDS` for some rows; None where a file has no such fact.

    Raises:
        OSError: if a file is no longer readable.
    """
    return [_facts(images.encoded(int(row)), images.sizes[row]) for row in rows]


def _facts(data: bytes, size: np.ndarray) -> dict[str, Any]:
    facts: dict[str, Any] = dict.fromkeys(KINDS)
    facts["bytes"] = float(len(data))
    facts["bytes_per_pixel"] = len(data) / max(1, int(size[0]) * int(size[1]))
    if (luma := plain_luma_sum(data)) is not None:
        return facts | {"format": "JPEG", "transparency": 0.0, "jpeg_quality": _quality(luma)}
    try:
        image = Image.open(BytesIO(data))  # reads the header only
    except Exception:  # only the other decoder can read it
        return facts
    facts["format"] = image.format
    has_alpha = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    facts["transparency"] = float(has_alpha)
    tables = getattr(image, "quantization", None)
    if image.format in ("JPEG", "MPO") and tables:
        facts["jpeg_quality"] = jpeg_quality(tables[min(tables)])
    if "exif" in image.info:
        facts["camera"] = _camera(image)
    return facts


def jpeg_quality(luma: list[int]) -> float:
    """Estimate libjpeg's quality, 1 to 100, from the sum of the luma quantization table.

    libjpeg (jcparam.c) scales its table by 5000 / q percent below quality 50, and by 200 - 2 q
    percent from there on. Entries are at least 1, so estimates of the highest qualities are a
    little too low.
    """
    return _quality(sum(luma))


def _quality(luma_sum: int) -> float:
    """As `jpeg_quality`, from the sum."""
    percent = 100 * luma_sum / _LUMA_SUM
    quality = 5000 / percent if percent > 100 else (200 - percent) / 2
    return float(min(100, max(1, round(quality))))


def _camera(image: Image.Image) -> str | None:
    try:
        exif = image.getexif()
        words = [str(exif.get(tag, "")).strip("\0 ") for tag in _CAMERA]
    except Exception:  # damaged EXIF: keep the other facts
        return None
    return " ".join(word for word in words if word) or None
