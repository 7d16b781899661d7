"""Bytes to pixels, against Pillow."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.data.pictures import encoded, picture, pixels
from tinyrefinery.data.decode import BrokenImageError, decode, image_size, to_channels


def by_pillow(data: bytes, mode: str) -> np.ndarray:
    image = ImageOps.exif_transpose(Image.open(BytesIO(data))).convert(mode)
    return np.asarray(image).reshape(image.height, image.width, -1)


@pytest.mark.parametrize("kind", ["png", "bmp", "gif", "webp", "tiff", "jpeg"])
@pytest.mark.parametrize(("channels", "mode"), [(3, "RGB"), (1, "L")])
def test_decode_gives_what_pillow_gives(kind: str, channels: int, mode: str):
    data = picture(1, 11, 17, kind)
    got = decode(data, channels)
    assert got.shape == (11, 17, channels)
    assert got.dtype == np.uint8
    assert got.flags.c_contiguous
    # A JPEG's grey is its own luma plane; Pillow's RGB -> grey detour rounds twice.
    limit = 3 if (kind, channels) == ("jpeg", 1) else 0
    assert np.abs(got.astype(int) - by_pillow(data, mode)).max() <= limit


def test_grey_jpeg_becomes_rgb():
    grey = pixels(3, channels=1)
    got = decode(encoded(grey, "jpeg", quality=100), 3)
    assert got.shape == (8, 8, 3)
    assert np.ptp(got, axis=2).max() == 0
    assert np.abs(got[..., :1].astype(int) - grey).max() <= 2


def test_cmyk_jpeg_goes_through_pillow():
    stream = BytesIO()
    Image.fromarray(pixels(4)).convert("CMYK").save(stream, "jpeg", quality=95)
    data = stream.getvalue()
    np.testing.assert_array_equal(decode(data), by_pillow(data, "RGB"))


def test_palette_with_transparency():
    image = Image.fromarray(pixels(5)).quantize(8)
    stream = BytesIO()
    image.save(stream, "png", transparency=bytes([0] * 4 + [255] * 4))
    assert decode(stream.getvalue()).shape == (8, 8, 3)
    np.testing.assert_array_equal(decode(stream.getvalue()), np.asarray(image.convert("RGB")))


def test_transparency_is_dropped():
    rgb = pixels(6)
    alpha = np.zeros((8, 8, 1), np.uint8)
    np.testing.assert_array_equal(decode(encoded(np.concatenate([rgb, alpha], 2))), rgb)


def test_of_sixteen_bits_the_high_byte_is_kept():
    values = np.array([[0, 255, 256], [40000, 65280, 65535]], np.uint16)
    got = decode(encoded(values), 1)
    np.testing.assert_array_equal(got[..., 0], [[0, 0, 1], [156, 255, 255]])


def test_one_bit():
    stream = BytesIO()
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(stream, "png")
    np.testing.assert_array_equal(decode(stream.getvalue(), 1)[..., 0], [[0, 255]])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_exif_orientation_is_applied(orientation: int, kind: str):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = picture(7, 6, 10, kind, exif=exif)
    np.testing.assert_array_equal(decode(data), by_pillow(data, "RGB"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff", "webp"])
def test_the_size_in_the_header_is_that_of_the_pixels(orientation: int, kind: str):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = picture(7, 6, 10, kind, exif=exif)
    assert image_size(data) == by_pillow(data, "RGB").shape[:2]


def test_exif_orientation_is_found_behind_other_segments():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = picture(7, 6, 10, "jpeg", exif=exif)
    # What looks like the start of the pixels, in a segment, behind a marker with a fill byte.
    other = b"\xff\xff\xe5" + (102).to_bytes(2, "big") + b"\xff\xda" * 50
    data = data[:2] + other + data[2:]
    np.testing.assert_array_equal(decode(data), by_pillow(data, "RGB"))
    assert decode(data).shape == (10, 6, 3)


def test_damaged_exif_does_not_cost_the_image():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = bytearray(picture(7, 6, 10, "jpeg", exif=exif))
    at = data.find(b"Exif\0\0") + 6
    data[at : at + 4] = b"XXXX"
    assert decode(bytes(data)).shape == (6, 10, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "zero bytes"),
        (b"hello, I am a text file", "not an image"),
        (picture(1, 64, 64, "jpeg")[:-200], "truncated"),
        (picture(1, 64, 64, "jpeg")[:20], "damaged"),
        (picture(1, 64, 64, "png")[:-200], "damaged"),
        (b"\xff\xd8\xff\xe0 nothing of a JPEG", "damaged|not an image"),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_broken_bytes_say_why(data: bytes, reason: str, channels: int):
    with pytest.raises(BrokenImageError, match=reason):
        decode(data, channels)


def test_a_hole_in_a_jpeg_is_broken_although_decoders_fill_it():
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    data = encoded(noise, "jpeg", quality=90)
    start = data.find(b"\xff\xda") + 200
    holed = data[:start] + data[-40:]  # the end marker is there
    with pytest.raises(BrokenImageError):
        decode(holed)


def test_stray_bytes_at_the_end_of_a_jpeg_are_harmless():
    data = picture(2, 16, 16, "jpeg")
    np.testing.assert_array_equal(decode(data + b"\0" * 50), decode(data))


def test_to_channels_is_pillows_luma():
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(
        to_channels(rgb, 1)[..., 0], np.asarray(Image.fromarray(rgb).convert("L"))
    )
    np.testing.assert_array_equal(to_channels(rgb[..., :1], 3), rgb[..., [0, 0, 0]])
    assert to_channels(rgb, 3) is rgb
