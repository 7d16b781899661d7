"""WebDataset shards."""

import json
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from tests.data.pictures import picture, pixels
from tinyrefinery.data.images import EncodedImages
from tinyrefinery.data.open import open_data
from tinyrefinery.errors import DataError


def write_shard(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, BytesIO(content))
    return path


def samples(seeds: range) -> dict[str, bytes]:
    files = {}
    for seed in seeds:
        files[f"part/{seed:03d}.png"] = picture(seed)
        files[f"part/{seed:03d}.cls"] = str(seed % 2).encode() + b"\n"
        files[f"part/{seed:03d}.json"] = json.dumps({"weight": seed / 2, "nested": {}}).encode()
    return files


def test_shards_by_range_with_labels_and_columns(tmp_path: Path):
    for shard in range(3):
        write_shard(tmp_path / f"train-{shard:02d}.tar", samples(range(shard * 4, shard * 4 + 4)))
    write_shard(tmp_path / "test.tar", samples(range(50, 54)))
    paths = {"train": str(tmp_path / "train-{00..02}.tar"), "test": str(tmp_path / "te*.tar")}
    dataset = open_data(
        "webdataset", path=paths, classes=["even", "odd"], validation=0, resident="never"
    )
    assert dataset.classes == ("even", "odd")
    assert [len(dataset.manifest.rows(s)) for s in ("train", "test")] == [12, 4]
    assert isinstance(dataset.images, EncodedImages)
    for row, seed in enumerate([*range(12), *range(50, 54)]):
        np.testing.assert_array_equal(dataset.images.pixels(row), pixels(seed))
        assert dataset.manifest.labels[row] == seed % 2
        assert dataset.manifest.column("weight")[row] == seed / 2
    assert "train-01.tar, part/004.png" in dataset.manifest.column("path")[4]


def test_labels_in_json_and_broken_or_unlabeled_samples(tmp_path: Path):
    files = {}
    for seed in range(4):
        files[f"{seed}.jpg"] = picture(seed, kind="jpeg")
        files[f"{seed}.json"] = json.dumps({"label": "ab"[seed % 2]}).encode()
    files |= {"4.jpg": b"", "4.json": b'{"label": "a"}', "5.png": picture(5), "6.cls": b"a"}
    dataset = open_data("webdataset", path=write_shard(tmp_path / "x.tar", files), validation=0)
    assert dataset.classes == ("a", "b")
    assert len(dataset.manifest) == 4
    kinds = ["ignored_files", "broken_image", "missing_label"]
    assert [p.kind for p in dataset.problems] == kinds


def test_shards_that_cannot_be_read(tmp_path: Path):
    whole = write_shard(tmp_path / "x.tar", samples(range(10)))
    cut = tmp_path / "cut.tar"
    cut.write_bytes(whole.read_bytes()[:700])
    zipped = write_shard(tmp_path / "x.tar.gz", samples(range(2)), "w:gz")
    for path, message in (
        (cut, r"cut\.tar: truncated, compressed"),
        (zipped, r"x\.tar\.gz: truncated, compressed"),
        (tmp_path / "gone-*.tar", "no such shard"),
        (write_shard(tmp_path / "none.tar", {"a.txt": b"x"}), "no images in 1 shards"),
        (write_shard(tmp_path / "bad.tar", {"a.png": b"x", "a.json": b"{"}), r"bad\.tar, a\.json"),
    ):
        with pytest.raises(DataError, match=message):
            open_data("webdataset", path=path)
    with pytest.raises(DataError, match=r"path: should be a file or a list of files, not \[\]"):
        open_data("webdataset", path=[])


def test_a_field_that_the_first_sample_lacks_is_kept(tmp_path: Path):
    files = {}
    for seed in range(4):
        files[f"{seed}.png"] = picture(seed)
        fields = {"label": "ab"[seed % 2]} | ({"group": f"g{seed}"} if seed else {})
        files[f"{seed}.json"] = json.dumps(fields).encode()
    data = open_data("webdataset", path=str(write_shard(tmp_path / "x.tar", files)), validation=0)
    assert list(data.manifest.column("group")) == [None, "g1", "g2", "g3"]


def test_a_field_of_two_kinds_is_named(tmp_path: Path):
    files = {}
    for seed, value in enumerate((1, "one")):
        files[f"{seed}.png"] = picture(seed)
        files[f"{seed}.json"] = json.dumps({"label": "ab"[seed], "size": value}).encode()
    with pytest.raises(DataError, match=r"x\.tar: the field 'size'.* int and str"):
        open_data("webdataset", path=str(write_shard(tmp_path / "x.tar", files)))


def test_a_shard_that_is_cut_anywhere_is_refused(tmp_path: Path):
    path = write_shard(tmp_path / "x.tar", samples(range(4)))
    whole = path.read_bytes()
    content = len(whole.rstrip(b"\0"))
    for cut in range(0, content, 256):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match=r"x\.tar"):
            open_data("webdataset", path=str(path), classes=["a", "b"])


def test_joined_shards_are_refused(tmp_path: Path):
    path = write_shard(tmp_path / "x.tar", samples(range(4)))
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(DataError, match="content after its end mark"):
        open_data("webdataset", path=str(path), classes=["a", "b"])


def test_keys_with_dots_are_named(tmp_path: Path):
    files = {}
    for seed in range(4):
        files[f"a/im.v1.{seed}.png"] = picture(seed)
        files[f"a/im.v1.{seed}.cls"] = b"1"
    write_shard(tmp_path / "a.tar", files)
    with pytest.raises(DataError, match=r"im\.v1\.0\.cls.*first dot.*im_v1_0\.cls"):
        open_data("webdataset", path=str(tmp_path / "a.tar"))


def test_further_json_files_of_a_sample_are_passed_over(tmp_path: Path):
    more = {f"part/{seed:03d}.seg.json": b"[]" for seed in range(8)}
    write_shard(tmp_path / "a.tar", samples(range(8)) | more)
    dataset = open_data("webdataset", path=str(tmp_path / "a.tar"), validation=0, test=0)
    assert len(dataset.manifest) == 8


def test_shards_and_fields_that_name_splits_are_those_splits(tmp_path: Path):
    write_shard(tmp_path / "train-000.tar", samples(range(8)))
    write_shard(tmp_path / "test-000.tar", samples(range(8, 12)))
    dataset = open_data("webdataset", path=str(tmp_path / "*.tar"), validation=0)
    assert [len(dataset.manifest.rows(s)) for s in ("train", "test")] == [8, 4]
    files = samples(range(8))
    for seed in range(8):
        fields = {"split": "test" if seed > 5 else "train"}
        files[f"part/{seed:03d}.json"] = json.dumps(fields).encode()
    write_shard(tmp_path / "all.tar", files)
    dataset = open_data("webdataset", path=str(tmp_path / "all.tar"), validation=0)
    assert [len(dataset.manifest.rows(s)) for s in ("train", "test")] == [6, 2]


def test_samples_without_a_picture_are_counted(tmp_path: Path):
    files = samples(range(6))
    files["part/001.avif"] = files.pop("part/001.png")
    dataset = open_data("webdataset", path=str(write_shard(tmp_path / "a.tar", files)))
    assert len(dataset.manifest) == 5
    (problem,) = [p for p in dataset.problems if p.kind == "ignored_files"]
    assert problem.what == "1 of its samples have no image that can be read, e.g. part/001.cls"
    gone = {name: data for name, data in files.items() if not name.endswith(".png")}
    with pytest.raises(DataError, match="no images in 1 shards: 6 of its samples have no image"):
        open_data("webdataset", path=str(write_shard(tmp_path / "b.tar", gone)))


def test_a_label_with_a_byte_order_mark(tmp_path: Path):
    files = samples(range(6))
    files["part/001.cls"] = b"\xef\xbb\xbf1\r\n"
    dataset = open_data("webdataset", path=str(write_shard(tmp_path / "a.tar", files)))
    assert dataset.classes == ("0", "1")
