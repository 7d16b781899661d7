"""Frequencies against SciPy, candidates against brute force, and copies of every kind."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn
from scipy.ndimage import uniform_filter

from tests.data.changes import CHANGES
from tests.data.pictures import class_folders, encoded, write
from tinyrefinery.audit.copy_findings import copy_findings
from tinyrefinery.data.copies.alignment import shared_detail
from tinyrefinery.data.copies.candidates import find_candidates
from tinyrefinery.data.copies.find_copies import find_copies
from tinyrefinery.data.copies.fingerprints import (
    Fingerprints,
    fingerprint,
    frequencies,
    thumbnails,
)
from tinyrefinery.data.copies.near_pairs import near_pairs
from tinyrefinery.data.open import open_data
from tinyrefinery.data.properties.small_images import map_chunks


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


def test_frequencies_are_those_of_scipy():
    thumbs = thumbnails(np.stack([scene(s, 32, 32) for s in range(5)]))
    even, odd = frequencies(thumbs)
    for number, thumb in enumerate(thumbs):
        low = dctn(thumb[6:26, 2:30].astype(float), norm="ortho")[:6, :6]
        low *= np.sqrt(np.hypot(*np.mgrid[:6, :6]))
        low /= np.linalg.norm(low)
        assert even[number].reshape(6, 3) == pytest.approx(low[:, 0::2], abs=1e-4)
        assert odd[number].reshape(6, 3) == pytest.approx(low[:, 1::2], abs=1e-4)


def test_candidates_are_those_of_brute_force():
    thumbs = thumbnails(np.stack([scene(s) for s in range(300)]))
    thumbs[50:60] = thumbs[10:20, :, ::-1]
    found = find_candidates(thumbs, 0.9)
    even, odd = frequencies(thumbs)
    expected = set()
    for mirrored, similarity in enumerate(
        (even @ even.T + odd @ odd.T, even @ even.T - odd @ odd.T)
    ):
        expected |= {(i, j, mirrored) for i, j in np.argwhere(similarity >= 0.9) if i < j}
    assert (10, 50, 1) in expected
    assert len(expected) > 12
    got = {(*pair, int(m)) for pair, m in zip(found.pairs.tolist(), found.mirrored, strict=True)}
    assert got == expected


def test_lookalikes_take_few_pairs():
    rng = np.random.default_rng(0)
    noisy = scene(0, 32, 32)[None, ..., 0] + rng.normal(0, 3, (1500, 32, 32))
    assert len(find_candidates(np.clip(noisy, 0, 255).astype(np.uint8)).pairs) < 60_000


def prints_of(thumbs):
    no = np.zeros(len(thumbs), bool)
    return Fingerprints(thumbs, no, no)


def test_a_heap_of_one_picture_takes_few_pairs():
    thumbs = np.broadcast_to(thumbnails(scene(0)[None]), (5000, 32, 32))
    found = near_pairs(prints_of(thumbs), np.arange(5000))
    assert len(found.pairs) == 4999
    assert found.certain.all()


def test_nothing_and_one_image_have_no_pairs():
    for n in (0, 1):
        found = near_pairs(prints_of(np.zeros((n, 32, 32), np.uint8)), np.arange(n))
        assert found.pairs.shape == (0, 2)


def test_alignment_undoes_shift_rotation_and_scale():
    rng = np.random.default_rng(0)
    image = Image.fromarray(photograph(rng, 128))
    moved = image.rotate(3, Image.Resampling.BICUBIC).crop((4, 2, 124, 122))
    thumbs = thumbnails(np.stack([np.asarray(image), np.asarray(moved.resize(image.size))]))
    (before,) = np.corrcoef(*(fine(thumb) for thumb in thumbs))[0, 1:]
    pair = np.array([[0, 1]])
    after = shared_detail(prints_of(thumbs), pair, np.array([False]))
    assert before < 0.6
    assert after[0] > 0.85


def fine(thumb):
    inside = thumb.astype(float)
    return (inside - uniform_filter(inside, 5))[6:26, 2:30].ravel()


def photograph(rng, side=64):
    """Texture at all scales, as in photographs: amplitudes fall with frequency."""
    planes = []
    shared = rng.normal(size=(side, side))
    for _ in range(3):
        spectrum = np.fft.fft2(shared + 0.3 * rng.normal(size=(side, side)))
        frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
        planes.append(np.fft.ifft2(spectrum / np.maximum(frequency, 1 / side)).real)
    planes = np.stack(planes, 2)
    return np.clip(128 + 50 * planes / planes.std(), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("change", list(CHANGES))
def test_planted_copies_are_found_and_nothing_else(change, mirrored):
    """At least as many as a 64-bit hash of DCT signs finds within 10 bits, and mirrored ones."""
    rng = np.random.default_rng(7)
    images = [photograph(rng) for _ in range(250)]
    copies = [CHANGES[change](image) for image in images[:50]]
    copies = [copy[:, ::-1] for copy in copies] if mirrored else copies
    thumbs = np.concatenate([thumbnails(np.stack([each])) for each in [*images, *copies]])
    found = near_pairs(prints_of(thumbs), np.arange(len(thumbs)))
    planted = {(i, 250 + i) for i in range(50)}
    pairs = {tuple(pair) for pair in found.pairs.tolist()}
    assert pairs <= planted
    assert len(pairs & planted) >= 48
    assert found.mirrored.all() == mirrored


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
