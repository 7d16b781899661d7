"""Verification: what it finds, and what a second opening takes from the cache."""

import os
import pickle
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.pictures import class_folders, picture, pixels, write
from tinyrefinery.audit.checks import audit
from tinyrefinery.data import examine as examine_module
from tinyrefinery.data import listing, pixels_cache
from tinyrefinery.data.blobs import FileBlobs
from tinyrefinery.data.images import EncodedImages
from tinyrefinery.data.open import open_data


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each image that is decoded while verifying."""
    calls: list[int] = []
    decode = examine_module.decode

    def counting(data: bytes, channels: int) -> np.ndarray:
        calls.append(len(data))
        return decode(data, channels)

    monkeypatch.setattr(examine_module, "decode", counting)
    return calls


def test_ids_are_sha256_of_the_files(tmp_path: Path):
    dataset = open_data("folder", root=class_folders(tmp_path, 3))
    for identity, path in zip(
        dataset.manifest.column("id"), dataset.manifest.column("path"), strict=True
    ):
        assert identity == sha256(Path(path).read_bytes()).hexdigest()


def test_a_second_opening_decodes_nothing_and_finds_the_same(tmp_path: Path, decoded: list[int]):
    class_folders(tmp_path, 3)
    write(tmp_path / "cat" / "zero.jpg", b"")
    first = open_data("folder", root=tmp_path, resident="never")
    assert len(decoded) >= 7
    decoded.clear()
    second = open_data("folder", root=tmp_path, resident="never")
    assert decoded == []
    assert second.manifest.table.equals(first.manifest.table)
    assert second.problems == first.problems
    np.testing.assert_array_equal(second.images.sizes, first.images.sizes)


def test_only_new_and_changed_files_are_looked_at(tmp_path: Path, decoded: list[int]):
    class_folders(tmp_path, 5)
    open_data("folder", root=tmp_path, resident="never")
    decoded.clear()
    changed = write(tmp_path / "cat" / "0.png", picture(500))
    os.utime(changed, ns=(1, 1))
    write(tmp_path / "dog" / "new.png", picture(501))
    dataset = open_data("folder", root=tmp_path, resident="never", validation=0)
    assert len(decoded) == 2
    np.testing.assert_array_equal(dataset.images.pixels(0), pixels(500))
    ids = dict(zip(dataset.manifest.column("path"), dataset.manifest.column("id"), strict=True))
    assert ids[str(changed)] == sha256(picture(500)).hexdigest()


def test_resident_pixels_are_right_with_and_without_the_cache(tmp_path: Path):
    class_folders(tmp_path, 4)
    write(tmp_path / "cat" / "1x.jpg", b"broken")
    first, second = open_data("folder", root=tmp_path), open_data("folder", root=tmp_path)
    for row in range(8):
        np.testing.assert_array_equal(first.images.pixels(row), second.images.pixels(row))
        path = first.manifest.column("path")[row]
        seed = int(Path(path).stem) + 1000 * ("dog" in path)
        np.testing.assert_array_equal(first.images.pixels(row), pixels(seed))


def test_resident_pixels_are_kept_so_a_second_opening_decodes_nothing(
    tmp_path: Path, decoded: list[int]
):
    class_folders(tmp_path, 4)
    write(tmp_path / "cat" / "1x.jpg", b"broken")
    first = open_data("folder", root=tmp_path)
    assert decoded
    decoded.clear()
    second = open_data("folder", root=tmp_path)
    assert decoded == []
    assert second.manifest.table.equals(first.manifest.table)
    assert second.problems == first.problems
    assert torch.equal(second.images.array, first.images.array)
    gray = open_data("folder", root=tmp_path, channels=1)
    assert gray.images.channels == 1
    assert decoded


def test_a_changed_picture_is_decoded_again_though_pixels_are_kept(tmp_path: Path):
    class_folders(tmp_path, 4)
    open_data("folder", root=tmp_path, validation=0)
    changed = write(tmp_path / "cat" / "0.png", picture(500))
    os.utime(changed, ns=(1, 1))
    for _ in range(2):
        dataset = open_data("folder", root=tmp_path, validation=0)
        np.testing.assert_array_equal(dataset.images.pixels(0), pixels(500))
        assert dataset.manifest.column("id")[0] == sha256(picture(500)).hexdigest()
    changed.unlink()
    dataset = open_data("folder", root=tmp_path, validation=0)
    assert len(dataset.images) == 7
    np.testing.assert_array_equal(dataset.images.pixels(0), pixels(1))


def test_a_picture_that_keeps_its_stamp_has_the_identity_of_its_bytes(tmp_path: Path, cache: Path):
    class_folders(tmp_path, 4)
    open_data("folder", root=tmp_path, validation=0)
    file = tmp_path / "cat" / "0.png"
    before = file.stat()
    other = picture(501)
    other += b"\0" * (before.st_size - len(other))  # after the end of a PNG anything may stand
    assert len(other) == before.st_size
    file.write_bytes(other)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    for kept in (cache / "pixels").iterdir():
        kept.unlink()
    dataset = open_data("folder", root=tmp_path, validation=0)
    np.testing.assert_array_equal(dataset.images.pixels(0), pixels(501))
    assert dataset.manifest.column("id")[0] == sha256(other).hexdigest()


def flip(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data + b"0",
        lambda data: flip(data, len(data) - 100),  # a pixel
        lambda data: flip(data, 30),  # the digest
        lambda data: data.replace(b'"shape": [8, 3', b'"shape": [6, 4'),
        lambda data: data.replace(b'"shape"', b'"shade"'),
        lambda data: data.replace(b'"shape": [8', b'"shape": [-8'),
    ],
)
def test_damaged_pixels_are_not_used_and_written_again(
    tmp_path: Path, cache: Path, decoded: list[int], damage
):
    class_folders(tmp_path, 4)
    expected = open_data("folder", root=tmp_path)
    (file,) = (cache / "pixels").iterdir()
    intact = file.read_bytes()
    assert damage(intact) != intact
    file.write_bytes(damage(intact))
    decoded.clear()
    again = open_data("folder", root=tmp_path)
    assert decoded
    assert torch.equal(again.images.array, expected.images.array)
    assert file.read_bytes() == intact


def test_a_picture_that_can_not_be_read_once_is_read_the_next_time(
    tmp_path: Path, cache: Path, monkeypatch
):
    class_folders(tmp_path, 4)
    expected = open_data("folder", root=tmp_path, validation=0)
    (file,) = (cache / "pixels").iterdir()
    file.unlink()
    with monkeypatch.context() as patch:
        read = FileBlobs.__getitem__

        def failing(blobs: FileBlobs, row: int) -> bytes:
            if row == 0:
                raise OSError(5, "Input/output error")
            return read(blobs, row)

        patch.setattr(FileBlobs, "__getitem__", failing)
        assert len(open_data("folder", root=tmp_path, validation=0).images) == 7
    for _ in range(2):
        again = open_data("folder", root=tmp_path, validation=0)
        assert torch.equal(again.images.array, expected.images.array)


def test_kept_pixels_of_all_sources_are_bounded_and_the_oldest_go_first(cache: Path, monkeypatch):
    array = np.zeros((2, 1, 10, 10), np.uint8)
    monkeypatch.setattr(pixels_cache, "MOST_TOGETHER", 1000)  # bytes: of three such files
    folder = cache / "pixels"
    for number, home in enumerate(("a", "b", "c")):
        pixels_cache.write_pixels(home, ["x", "y"], array)
        (new,) = (path for path in folder.iterdir() if path.stat().st_mtime_ns > 10)
        os.utime(new, ns=(number, number))
    assert pixels_cache.read_pixels("a", 1, ["x", "y"]) is not None  # now the newest
    pixels_cache.write_pixels("d", ["x", "y"], array)
    kept = {name: pixels_cache.read_pixels(name, 1, ["x", "y"]) is not None for name in "abcd"}
    assert kept == {"a": True, "b": False, "c": True, "d": True}


@pytest.mark.parametrize("damage", [b"", b"PAR1 nonsense", None])
def test_a_damaged_or_unwritable_cache_is_no_matter(
    tmp_path: Path, cache: Path, damage: bytes | None
):
    class_folders(tmp_path, 3)
    expected = open_data("folder", root=tmp_path).manifest
    for file in (cache / "verified").iterdir():
        file.write_bytes(damage or b"")
        if damage is None:
            file.unlink()
    if damage is None:
        (cache / "verified").rmdir()
        (cache / "verified").write_bytes(b"a file where the folder should be")
    assert open_data("folder", root=tmp_path).manifest.table.equals(expected.table)


def test_many_images_over_many_chunks_keep_their_order(tmp_path: Path):
    class_folders(tmp_path, 200)
    dataset = open_data("folder", root=tmp_path, validation=0)
    for row in range(0, 400, 37):
        path = Path(dataset.manifest.column("path")[row])
        seed = int(path.stem) + 1000 * (path.parent.name == "dog")
        np.testing.assert_array_equal(dataset.images.pixels(row), pixels(seed))


def test_only_a_person_who_watches_sees_a_bar(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    open_data("folder", root=class_folders(tmp_path / "a", 2))
    shown = capsys.readouterr()
    assert "verifying images" in shown.err
    assert shown.out == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    open_data("folder", root=class_folders(tmp_path / "b", 2))
    assert capsys.readouterr().err == ""


def dark_16_bit(folder: Path, n: int) -> Path:
    """Class folders with 16-bit PNGs whose values fit in the low byte."""
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            values = random.integers(0, 256, (8, 8)).astype(np.uint16)
            Image.fromarray(values).save(folder / name / f"{i}.png")
    return folder


@pytest.mark.parametrize("resident", ["always", "never"])
def test_pictures_of_one_color_are_reported_and_kept(tmp_path: Path, resident: str):
    root = dark_16_bit(tmp_path, 10)
    write(root / "cat" / "real.png", picture(1))
    for _ in range(2):  # the second opening takes it from the cache
        dataset = open_data("folder", root=root, resident=resident)
        found = [problem.where for problem in dataset.problems if problem.kind == "one_color"]
        assert len(found) == 20
        assert len(dataset.manifest) == 21
        assert not any("real" in where for where in found)


@pytest.mark.parametrize(("most", "brightest"), [(1023, 3), (4095, 15), (16383, None)])
def test_16_bit_pictures_that_use_few_bits_are_reported(
    tmp_path: Path, most: int, brightest: int | None
):
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(10):
            values = random.integers(0, most + 1, (16, 16)).astype(np.uint16)
            values[0, 0] = most
            Image.fromarray(values).save(tmp_path / name / f"{i}.png")
    for _ in range(2):  # the second opening takes it from the cache
        dataset = open_data("folder", root=tmp_path)
        found = [problem.what for problem in dataset.problems if problem.kind == "nearly_black"]
        assert len(found) == (0 if brightest is None else 20)
        assert all(f"no value is above {brightest} of 255" in what for what in found)
        assert len(dataset.manifest) == 20


def test_one_differing_pixel_is_content():
    pixels = np.full((5, 4, 3), 7, np.uint8)
    assert examine_module.has_one_color(pixels)
    pixels[4, 3, 2] = 8
    assert not examine_module.has_one_color(pixels)


def test_the_audit_reports_pictures_of_one_color(tmp_path: Path):
    dataset = open_data("folder", root=dark_16_bit(tmp_path, 10))
    found = [finding for finding in audit(dataset).findings if "one_color" in str(finding)]
    assert [(finding.count, finding.severity) for finding in found] == [(20, "warning")]


def test_photographs_of_several_sizes_are_decoded_once_where_they_fit(
    tmp_path: Path, cache: Path, monkeypatch
):
    for number, side in enumerate((40, 41, 42, 43, 44, 45)):
        write(tmp_path / "ab"[number % 2] / f"{number}.png", picture(number, side, side))
    decoded: list[int] = []
    encoded = EncodedImages.encoded

    def counted(images: EncodedImages, row: int) -> bytes:
        decoded.append(int(images.rows[row]))
        return encoded(images, row)

    monkeypatch.setattr(EncodedImages, "encoded", counted)
    images = open_data("folder", root=tmp_path, validation=0).images
    first = [images.pixels(row) for row in range(6)]
    assert isinstance(images, EncodedImages)
    chosen = images.select(np.array([4, 2]))
    assert np.array_equal(chosen.pixels(0), first[4])
    assert sorted(decoded) == list(range(6))
    copied = pickle.loads(pickle.dumps(images))
    assert copied.kept == {}
    assert np.array_equal(copied.pixels(3), first[3])
    for resident, most in (("never", 1 << 31), ("auto", 6 * 40 * 40)):
        monkeypatch.setattr(listing, "RESIDENT_BYTES", most)
        assert (
            open_data("folder", root=tmp_path, validation=0, resident=resident).images.kept is None
        )
