"""Properties against plain float64 formulas, and files against what they were written with."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import convolve

from tests.data.pictures import encoded, pixels, write
from tests.data.scenes import stripes
from tinyrefinery.data.decode import decode
from tinyrefinery.data.open import open_data
from tinyrefinery.data.properties.measure import image_properties, pixel_properties
from tinyrefinery.data.properties.property_names import KINDS, MEASURES
from tinyrefinery.data.properties.small_images import LONGEST, load_chunk, shrink

NAMES = list(MEASURES)[3:]


def by_formula(image):
    """The measures of one RGB image, written out in float64."""
    x = image.astype(np.float64)
    luma = x @ [0.299, 0.587, 0.114]
    laplacian = convolve(luma, [[0, 1, 0], [1, -4, 1], [0, 1, 0]])[1:-1, 1:-1]
    share = np.histogram(np.floor(luma + 0.5), np.arange(257))[0] / luma.size
    share = share[share > 0]
    edge = max(1, min(luma.shape) // 16)
    rim = np.ones(luma.shape, bool)
    rim[edge:-edge, edge:-edge] = False
    rg, yb = x[..., 0] - x[..., 1], (x[..., 0] + x[..., 1]) / 2 - x[..., 2]
    top, low = x.max(2), x.min(2)
    colorfulness = np.sqrt(rg.var() + yb.var()) + 0.3 * np.sqrt(rg.mean() ** 2 + yb.mean() ** 2)
    return {
        "brightness": luma.mean(),
        "contrast": luma.std(),
        "sharpness": laplacian.var(),
        "entropy": -(share * np.log2(share)).sum(),
        "border": luma[rim].mean(),
        "colorfulness": colorfulness,
        "saturation": ((top - low) / np.maximum(top, 1)).mean(),
        "red_green": rg.mean(),
        "yellow_blue": yb.mean(),
    }


@pytest.mark.parametrize("shape", [(32, 32), (48, 20), (5, 7)])
def test_measures_are_the_formulas(shape):
    images = np.random.default_rng(0).integers(0, 256, (7, *shape, 3)).astype(np.uint8)
    found = pixel_properties(images)
    for image, values in zip(images, found, strict=True):
        expected = by_formula(image)
        assert dict(zip(NAMES, values, strict=True)) == pytest.approx(expected, rel=1e-3, abs=2e-2)


def test_even_and_tiny_images_have_finite_measures():
    for shape in ((1, 1), (2, 3), (16, 16)):
        for channels in (1, 3):
            found = pixel_properties(np.full((2, *shape, channels), 255, np.uint8))
            assert np.isfinite(found).all()
            assert found.shape == (2, 5 if channels == 1 else 9)


def test_rows_come_in_the_order_asked_for():
    data = stripes(channels=3)
    rows = np.array([7, 3, 3, 100])
    table = image_properties(data, rows)
    assert table.column_names == ["id", *MEASURES]
    assert table["id"].to_pylist() == data.manifest.column("id")[rows].tolist()
    one = pixel_properties(data.images.pixels(7)[None])[0]
    assert table["brightness"][0].as_py() == pytest.approx(one[0])
    assert table["height"].to_pylist() == [16.0] * 4


def test_no_rows_make_an_empty_table():
    table = image_properties(stripes(), np.empty(0, np.int64))
    assert table.num_rows == 0
    assert table.column_names == ["id", *list(MEASURES)[:8]]  # grey: no colors


@pytest.fixture
def mixed(tmp_path):
    """Two classes of files of several formats, sizes and cameras."""
    exif = Image.Exif()
    exif[271], exif[272] = "Acme", "One"
    big = np.asarray(Image.fromarray(pixels(1)).resize((600, 300)))
    write(tmp_path / "a" / "0.jpg", encoded(big, "jpeg", quality=75, exif=exif))
    write(tmp_path / "a" / "1.png", encoded(pixels(2, 20, 30), "png"))
    stream = BytesIO()
    alpha = np.dstack([pixels(3), np.full((8, 8), 9, np.uint8)])
    Image.fromarray(alpha).save(stream, "png")
    write(tmp_path / "b" / "2.png", stream.getvalue())
    write(tmp_path / "b" / "3.jpg", encoded(pixels(4), "jpeg", quality=30))
    return open_data("folder", root=tmp_path, resident="never", validation=0)


def test_files_tell_what_they_were_written_with(mixed):
    table = image_properties(mixed, np.arange(4))
    assert table.column_names == ["id", *MEASURES, *KINDS]
    assert table["format"].to_pylist() == ["JPEG", "PNG", "PNG", "JPEG"]
    assert table["transparency"].to_pylist() == [0, 0, 1, 0]
    assert table["jpeg_quality"].to_pylist() == [75, None, None, 30]
    assert table["camera"].to_pylist() == ["Acme One", None, None, None]
    assert table["width"].to_pylist() == [600, 30, 8, 8]
    assert table["aspect"].to_pylist() == pytest.approx([2, 1.5, 1, 1])
    sizes = [len(mixed.images.encoded(row)) for row in range(4)]
    assert table["bytes"].to_pylist() == sizes


def test_large_images_are_measured_small(mixed):
    chunk = load_chunk(mixed, np.arange(4))
    assert sum(len(stack.places) for stack in chunk.stacks) == 4
    assert {stack.pixels.shape[1:] for stack in chunk.stacks} >= {(64, 128, 3), (20, 30, 3)}
    whole = mixed.images.pixels(0)
    fast, slow = chunk.stacks[0].pixels[0].astype(float), shrink(whole).astype(float)
    assert np.abs(fast - slow).mean() < 2
    assert shrink(whole).shape == (LONGEST // 2, LONGEST, 3)


def test_a_jpeg_is_decoded_no_smaller_than_asked():
    data = encoded(np.asarray(Image.fromarray(pixels(1)).resize((800, 400))), "jpeg")
    for longest in (100, 128, 300, 799, 800, 5000):
        height, width, _ = decode(data, 3, longest).shape
        assert min(800, longest) <= width <= 800
        assert height == pytest.approx(width / 2, abs=1)
    assert decode(data, 3).shape == (400, 800, 3)
