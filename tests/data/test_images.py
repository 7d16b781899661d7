"""Images kept decoded and kept encoded show the same pixels."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from tests.data.pictures import encoded, picture, pixels, write
from tinyrefinery.data.blobs import ArrowBlobs, Blobs, FileBlobs, SliceBlobs
from tinyrefinery.data.images import EncodedImages, ResidentImages
from tinyrefinery.errors import DataError

ARRAYS = [pixels(seed, 5 + seed, 7) for seed in range(6)]
CONTENTS = [encoded(array) for array in ARRAYS]
SIZES = np.array([array.shape[:2] for array in ARRAYS], np.int32)


def file_blobs(folder: Path) -> Blobs:
    return FileBlobs([str(write(folder / f"{i}.png", c)) for i, c in enumerate(CONTENTS)])


def arrow_blobs(folder: Path) -> Blobs:
    chunks = [pa.array(CONTENTS[:2], pa.binary()), pa.array(CONTENTS[2:], pa.binary())]
    return ArrowBlobs.of(pa.chunked_array(chunks))


def struct_blobs(folder: Path) -> Blobs:
    path = str(write(folder / "outside.png", CONTENTS[0]))
    rows = [{"bytes": None, "path": path}] + [{"bytes": c, "path": None} for c in CONTENTS[1:]]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return ArrowBlobs.of(pa.chunked_array([pa.array(rows, kind)]))


def slice_blobs(folder: Path) -> Blobs:
    whole = write(folder / "all", b"".join(CONTENTS))
    lengths = np.array([len(c) for c in CONTENTS])
    offsets = np.cumsum(lengths) - lengths
    return SliceBlobs([str(whole)], np.stack([np.zeros(6, int), offsets, lengths], 1))


@pytest.mark.parametrize("make", [file_blobs, arrow_blobs, struct_blobs, slice_blobs])
def test_every_kind_of_blob_decodes_pickles_and_selects(make, tmp_path: Path):
    images = EncodedImages(make(tmp_path), SIZES, 3)
    images = pickle.loads(pickle.dumps(images))
    assert len(images) == 6
    assert images.encoded(0) == CONTENTS[0]
    for row, array in enumerate(ARRAYS):
        np.testing.assert_array_equal(images.pixels(row), array)
    chosen = images.select(np.array([4, 1])).select(np.array([1, 0, 0]))
    np.testing.assert_array_equal(chosen.sizes, SIZES[[1, 4, 4]])
    np.testing.assert_array_equal(chosen.pixels(1), ARRAYS[4])


@pytest.mark.parametrize("make", [file_blobs, arrow_blobs, slice_blobs])
def test_pixels_from_many_threads(make, tmp_path: Path):
    images = EncodedImages(make(tmp_path), SIZES, 3)
    rows = list(range(6)) * 50
    with ThreadPoolExecutor(8) as pool:
        for row, got in zip(rows, pool.map(images.pixels, rows), strict=True):
            np.testing.assert_array_equal(got, ARRAYS[row])


def test_a_file_that_changed_after_opening_is_named(tmp_path: Path):
    images = EncodedImages(file_blobs(tmp_path), SIZES, 3)
    (tmp_path / "1.png").unlink()
    write(tmp_path / "2.png", picture(0, 30, 30))
    write(tmp_path / "3.png", b"")
    with pytest.raises(DataError, match=r"image 1 changed.*1\.png"):
        images.pixels(1)
    with pytest.raises(DataError, match=r"image 2 changed.*\(7, 7\).*\(30, 30\)"):
        images.pixels(2)
    with pytest.raises(DataError, match=r"image 3 changed.*zero bytes"):
        images.pixels(3)


def test_resident_images_select_and_show():
    array = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).reshape(2, 3, 4, 5)
    images = ResidentImages(array)
    assert images.channels == 3
    np.testing.assert_array_equal(images.sizes, [[4, 5], [4, 5]])
    np.testing.assert_array_equal(images.pixels(1), array[1].numpy().transpose(1, 2, 0))
    np.testing.assert_array_equal(images.select(np.array([1])).pixels(0), images.pixels(1))
    with pytest.raises(ValueError, match="uint8"):
        ResidentImages(array.float())


def test_a_column_without_bytes_is_refused():
    with pytest.raises(TypeError, match="int64"):
        ArrowBlobs.of(pa.chunked_array([[1, 2]]))
