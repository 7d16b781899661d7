"""What an image file tells beside its pixels: format, bytes, compression, transparency, camera."""

from io import BytesIO
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from tinyrefinery.data.images import EncodedImages
from tinyrefinery.data.properties.property_names import KINDS

# ITU-T T.81, table K.1, in the zigzag order in which Pillow gives a file's table: its sum is
# enough, since libjpeg scales all entries alike.
_LUMA_SUM = 3688.0
_CAMERA = (ExifTags.Base.Make, ExifTags.Base.Model)


def file_facts(images: EncodedImages, rows: np.ndarray) -> list[dict[str, Any]]:
    """The values of `KINDS` for some rows; what a file does not tell is None.

    Raises:
        OSError: when a file can't be read any more.
    """
    return [_facts(images.encoded(int(row)), images.sizes[row]) for row in rows]


def _facts(data: bytes, size: np.ndarray) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(KINDS)
    found["bytes"] = float(len(data))
    found["bytes_per_pixel"] = len(data) / max(1, int(size[0]) * int(size[1]))
    try:
        image = Image.open(BytesIO(data))  # the header alone
    except Exception:  # what Pillow can't name was decoded by the other decoder
        return found
    found["format"] = image.format
    clear = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    found["transparency"] = float(clear)
    tables = getattr(image, "quantization", None)
    if image.format in ("JPEG", "MPO") and tables:
        found["jpeg_quality"] = jpeg_quality(tables[min(tables)])
    if "exif" in image.info:
        found["camera"] = _camera(image)
    return found


def jpeg_quality(luma: list[int]) -> float:
    """Libjpeg's quality, 1 to 100, whose luma quantization table has nearly this sum.

    libjpeg (jcparam.c) scales its table by 5000 / q below 50 and by 200 - 2 q from there, in
    percent; each entry is at least 1, so that the highest qualities come out a little too low.
    """
    percent = 100 * sum(luma) / _LUMA_SUM
    quality = 5000 / percent if percent > 100 else (200 - percent) / 2
    return float(np.clip(round(quality), 1, 100))


def _camera(image: Image.Image) -> str | None:
    try:
        exif = image.getexif()
        words = [str(exif.get(tag, "")).strip("\0 ") for tag in _CAMERA]
    except Exception:  # damaged EXIF must not cost the image
        return None
    return " ".join(word for word in words if word) or None
