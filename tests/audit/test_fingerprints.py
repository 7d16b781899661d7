"""Hashes against SciPy's transform, pairs against brute force, copies of every kind."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn

from tests.data.pictures import class_folders, encoded, write
from tinyrefinery.audit.copy_findings import copy_findings
from tinyrefinery.audit.duplicates import find_copies
from tinyrefinery.audit.fingerprints import MIRROR, Fingerprints, fingerprint, hashes, likeness
from tinyrefinery.audit.hash_pairs import close_pairs
from tinyrefinery.data.open import open_data
from tinyrefinery.data.properties.small_images import map_chunks

NONE = np.uint64(0)


def scene(seed, height=48, width=64):
    """Blobs of color: no two alike, and smooth enough for JPEG."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    out = np.zeros((height, width, 3))
    for _ in range(8):
        cy, cx, r = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.05, 0.3)
        out += (
            rng.uniform(-120, 120, 3) * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / r**2)[..., None]
        )
    return np.clip(128 + out, 0, 255).astype(np.uint8)


def bits_of(value):
    return np.array([(int(value) >> i) & 1 for i in range(64)]).reshape(8, 8)


def test_the_hash_is_the_signs_of_the_low_frequencies():
    pixels = np.stack([scene(s, 32, 32)[..., :1] for s in range(5)])
    for value, image in zip(hashes(pixels), pixels, strict=True):
        low = dctn(image[..., 0].astype(float), type=2)[:8, :8] > 0
        low[0, 0] = False
        assert (bits_of(value) == low).all()


def test_mirroring_turns_the_odd_columns_over():
    pixels = np.stack([scene(s) for s in range(20)])
    assert (hashes(pixels[:, :, ::-1]) == hashes(pixels) ^ MIRROR).all()
    assert bits_of(MIRROR).sum(0).tolist() == [0, 8, 0, 8, 0, 8, 0, 8]


@pytest.mark.parametrize("flip", [NONE, MIRROR])
def test_pairs_are_those_of_brute_force(flip):
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2**63, 40).astype(np.uint64)
    noise = np.array([np.uint64(1 << int(b)) for b in rng.integers(0, 63, 120)])
    many = np.concatenate([base, base[:20] ^ noise[:20], base[:5], base[10:15] ^ MIRROR])
    expected = {
        (i, j)
        for i in range(len(many))
        for j in range(i + 1, len(many))
        if bin(int(many[i] ^ flip) ^ int(many[j])).count("1") <= 3
    }
    assert {tuple(pair) for pair in close_pairs(many, 3, flip).tolist()} == expected


def test_pairs_of_nothing_and_of_one():
    assert close_pairs(np.empty(0, np.uint64), 8).shape == (0, 2)
    assert close_pairs(np.ones(1, np.uint64), 8).shape == (0, 2)


def test_a_heap_of_one_hash_takes_few_pairs():
    pairs = close_pairs(np.zeros(5000, np.uint64), 8)
    assert len(pairs) < 10_000
    assert set(pairs.ravel().tolist()) == set(range(5000))


def test_likeness_is_a_correlation():
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 256, (6, 4, 4, 3)).astype(np.uint8) for _ in range(2))
    expected = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b, strict=True)]
    assert likeness(a, b) == pytest.approx(expected, abs=1e-5)
    assert likeness(a, np.zeros_like(a)).tolist() == [0] * 6


def jpeg(pixels, quality):
    return encoded(pixels, "jpeg", quality=quality)


@pytest.fixture
def copied(tmp_path):
    """Class folders with 40 scenes each and copies of the first ones, by kind."""
    for number, name in enumerate(("cat", "dog")):
        for i in range(40):
            write(tmp_path / name / f"{i:03d}.png", encoded(scene(100 * number + i), "png"))
    first = [scene(i) for i in range(6)]
    write(tmp_path / "cat" / "bytes.png", encoded(first[0], "png"))
    stream = BytesIO()
    Image.fromarray(first[1]).save(stream, "bmp")
    write(tmp_path / "cat" / "pixels.bmp", stream.getvalue())
    write(tmp_path / "cat" / "near.jpg", jpeg(first[2], 60))
    dimmed = (first[3] * 0.7).astype(np.uint8)
    write(tmp_path / "cat" / "dim.png", encoded(dimmed, "png"))
    write(tmp_path / "cat" / "mirror.jpg", jpeg(first[4][:, ::-1], 80))
    small = np.asarray(Image.fromarray(first[5]).resize((40, 30)))
    write(tmp_path / "dog" / "small.png", encoded(small, "png"))
    return tmp_path


def searched(data):
    rows = np.arange(len(data.manifest))
    prints = Fingerprints.concatenate(list(map_chunks(data, rows, fingerprint)))
    return find_copies(data, prints)


def test_copies_of_every_kind_are_found_and_nothing_else(copied):
    data = open_data("folder", root=copied, resident="never", validation=0)
    names = [path.split("/")[-1] for path in data.manifest.column("path")]
    copies = {each.kind: [] for each in searched(data)}
    for each in searched(data):
        copies[each.kind].append({names[row] for row in each.rows})
    assert copies["bytes"] == [{"000.png", "bytes.png"}]
    assert copies["pixels"] == [{"001.png", "pixels.bmp"}]
    assert copies["mirrored"] == [{"004.png", "mirror.jpg"}]
    assert sorted(map(sorted, copies["near"])) == [
        ["002.png", "near.jpg"],
        ["003.png", "dim.png"],
        ["005.png", "small.png"],
    ]


def test_what_copies_mean(copied):
    data = open_data("folder", root=copied, resident="never", validation=0)
    found = copy_findings(data, searched(data), None, "use {}")
    kinds = {each.kind: each for each in found}
    assert set(kinds) == {"copies", "conflict"}
    assert kinds["copies"].severity == "note"
    assert len(kinds["copies"].listed) == 6
    assert kinds["copies"].remedy == "use copies.txt"
    conflict = [data.manifest.column("path")[row] for row in kinds["conflict"].listed]
    assert [path.rsplit("/", 2)[1:] for path in conflict] == [
        ["cat", "005.png"],
        ["dog", "small.png"],
    ]


def test_even_images_are_no_near_copies(tmp_path):
    class_folders(tmp_path, each=3)
    for i in range(4):
        grey = np.full((8, 8, 3), 100 + i, np.uint8)
        write(tmp_path / "cat" / f"even{i}.png", encoded(grey, "png"))
    data = open_data("folder", root=tmp_path, resident="never", validation=0)
    assert [each for each in searched(data) if each.kind != "bytes"] == []
