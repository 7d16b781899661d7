"""Large photographs are shrunk once, and crops of them are what they would have been."""

from dataclasses import replace
from hashlib import sha256
from io import BytesIO

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as tv

from tinyrefinery.data import shrunk
from tinyrefinery.data.batches import View
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.images import ChangedImageError, EncodedImages
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.errors import DataError
from tinyrefinery.options.crops import Augment, Center, Inception, Pad

SIZES = [(1200, 1600), (1600, 900), (1000, 1000), (400, 500)]
LARGE = np.arange(3)
ORIENTATION = 0x0112


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYREFINERY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def picture(height, width, seed):
    """Smooth colors, as photographs have, with an edge."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 220, (6, 8, 3)).astype(np.uint8)
    pixels = np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    pixels[height // 3 : height // 2, width // 4 : width // 2] = (250, 10, 120)
    return pixels


def encoded(pixels, **options):
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, subsampling=0, **options)
    return file.getvalue()


class Files(list):
    """Encoded images in memory, which counts how often one is read."""

    reads = 0

    def __getitem__(self, row):
        self.reads += 1
        return super().__getitem__(row)


def dataset(channels=3):

    blobs = Files(encoded(picture(*size, i)) for i, size in enumerate(SIZES))
    ids = [sha256(list.__getitem__(blobs, i)).hexdigest() for i in range(len(SIZES))]
    table = pa.table(
        {
            "id": pa.array(ids),
            "path": pa.array([f"{i}.jpg" for i in range(len(SIZES))]),
            "label": pa.array([0, 1, 0, 1], pa.int64()),
            "split": pa.array(["train"] * len(SIZES)),
        }
    )
    images = EncodedImages(blobs, np.array(SIZES), channels)
    return Dataset("photos", Manifest(table, ("a", "b")), images)


CROPS = {
    "inception": Inception(size=48, area=(0.08, 1.0)),
    "whole": Center(size=48),
    "margin": Center(size=48, resize=55),
}


@pytest.mark.parametrize("name", CROPS)
def test_crops_are_those_of_the_whole_photograph(name):
    view = View(dataset(), CROPS[name], seed=1)
    rows = np.arange(len(SIZES))
    crops = view.crops(rows, 0)
    boxes = (
        crops.source_boxes(view.images.sizes[rows]) if crops.resized is not None else crops.boxes
    )
    found = view.pixels(rows, crops)
    scale = np.array(SIZES) / view.images.sizes
    for row in rows:
        whole = torch.from_numpy(picture(*SIZES[row], int(row))).permute(2, 0, 1).float()
        top, left, height, width = (boxes[row] * np.tile(scale[row], 2)).round().astype(int)
        part = tv.resized_crop(whole, top, left, height, width, [48, 48], antialias=True)
        # Edges move by up to half a pixel of the copy, so the mean counts, in gray levels of 255.
        assert (found[row] - part).abs().mean() < 3


def test_every_crop_has_as_many_pixels_as_the_network_takes():
    view = View(dataset(), CROPS["inception"], seed=1)
    assert (view.images.sizes[LARGE] < np.array(SIZES)[LARGE]).all()
    for epoch in range(300):
        assert (view.crops(LARGE, epoch).boxes[:, 2:] >= 48 - 1).all()


def test_small_photographs_and_padded_crops_use_the_files():
    data = dataset()
    assert View(data, Pad(size=48, padding=4)).images is data.images
    view = View(data, CROPS["whole"])
    assert tuple(view.images.sizes[3]) == SIZES[3]
    assert np.array_equal(view.images.pixels(3), data.images.pixels(3))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_photograph_is_read_once(channels):
    data = dataset(channels)
    view = View(data, CROPS["whole"])
    first = view.render(LARGE, 0).images
    assert data.images.blobs.reads == len(LARGE)
    again = View(dataset(channels), CROPS["whole"])
    assert torch.equal(again.render(LARGE, 0).images, first)
    assert again.dataset.images.blobs.reads == 0
    assert first.shape[1] == channels


def test_a_damaged_copy_is_made_again(cache):
    first = View(dataset(), CROPS["whole"]).render(LARGE, 0).images
    for number, path in enumerate(sorted(cache.rglob("*.jpg"))):
        path.write_bytes(path.read_bytes()[: 200 * number])
    assert torch.equal(View(dataset(), CROPS["whole"]).render(LARGE, 0).images, first)


def test_without_a_cache_the_pixels_are_the_same(cache, monkeypatch, caplog):
    first = View(dataset(), CROPS["whole"]).render(LARGE, 0).images
    blocked = cache.parent / "file"
    blocked.write_text("")
    monkeypatch.setenv("TINYREFINERY_CACHE", str(blocked))
    assert torch.equal(View(dataset(), CROPS["whole"]).render(LARGE, 0).images, first)
    (warning,) = caplog.messages  # once, not once per photograph
    assert warning.startswith(f"{blocked}: this cache is full or not writable")


def test_a_changed_photograph_is_refused():
    data = dataset()
    data.images.blobs[0] = encoded(picture(1200, 1600, 9))
    with pytest.raises(ChangedImageError, match="its bytes are others"):
        View(data, CROPS["whole"]).images.pixels(0)
    with pytest.raises(DataError, match=r"0\.jpg"):
        View(data, CROPS["whole"]).render(LARGE, 0)


def test_students_pixels_do_not_depend_on_the_refiners_size():
    data = dataset()
    alone = View(data, CROPS["inception"], seed=1, augment=Augment(flip=0.5))
    beside = replace(alone, sizes=((96, 96), (200, 200)))
    rows = np.arange(len(SIZES))
    one, other = alone.render(rows, 3), beside.render(rows, 3)
    assert torch.equal(one.images, other.images)
    # Each size is cut from copies that are large enough for it.
    large = View(data, replace_size(CROPS["inception"], 200), seed=1, augment=Augment(flip=0.5))
    error = (other.at[200, 200] - large.render(rows, 3).images).abs()
    assert error.mean() < 0.08  # normalized; boxes differ by a pixel


def replace_size(crop, size):
    return crop.model_copy(update={"size": (size, size)})


def test_orientation_is_kept():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    data = encoded(picture(1200, 1600, 0), exif=exif)
    images = EncodedImages([data], np.array([(1600, 1200)]), 3)

    ids = np.array([sha256(data).hexdigest()])
    small = shrunk.shrunk(images, lambda: ids, Center(size=48), (48, 48))
    upright = np.array(Image.fromarray(images.pixels(0)).resize((256, 341), Image.Resampling.BOX))
    assert small.pixels(0).shape == (341, 256, 3)
    assert np.abs(small.pixels(0).astype(int) - upright).mean() < 3
