"""The quick reader of JPEG tables, compared with Pillow's."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tinyrefinery.data.properties.jpeg_tables import plain_luma_sum

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
TABLES = {0: [3] * 64, 1: [200] * 64}


def jpeg(mode: str = "RGB", **options) -> bytes:
    stream = BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(stream, "jpeg", **options)
    return stream.getvalue()


def by_pillow(data: bytes) -> int | None:
    """The sum, where the file is a JPEG without EXIF to Pillow."""
    try:
        image = Image.open(BytesIO(data))
    except Exception:
        return None
    if image.format != "JPEG" or "exif" in image.info:
        return None
    tables = image.quantization
    return sum(tables[min(tables)]) if tables else None


PLAIN = [jpeg(quality=quality) for quality in range(1, 101, 3)]
PLAIN += [jpeg("L"), jpeg(progressive=True), jpeg(comment=b"a comment"), jpeg(qtables=TABLES)]
PLAIN += [jpeg(subsampling=0), jpeg(restart_marker_rows=1), jpeg(optimize=True)]


@pytest.mark.parametrize("data", PLAIN)
def test_plain_files_have_pillows_sum(data):
    assert plain_luma_sum(data) == by_pillow(data) is not None


EXIF = Image.Exif()
EXIF[271] = "Acme"


@pytest.mark.parametrize(
    "data",
    [
        jpeg(exif=EXIF),
        jpeg("CMYK"),
        jpeg(icc_profile=b"profile"),
        b"",
        b"\xff\xd8\xff",
        PLAIN[0][:99],
    ],
)
def test_all_others_are_left_to_pillow(data):
    assert plain_luma_sum(data) is None


@pytest.mark.parametrize("seed", range(20))
def test_damaged_headers_have_pillows_sum_or_none(seed):
    random = np.random.default_rng(seed)
    whole = PLAIN[seed]
    for _ in range(100):
        data = bytearray(whole[: random.integers(20, len(whole))])
        for place in random.integers(0, min(700, len(data)), random.integers(1, 4)):
            data[place] = random.integers(256)
        assert plain_luma_sum(bytes(data)) in (None, by_pillow(bytes(data)))
