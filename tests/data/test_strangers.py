"""Copies are nearer than strangers: sets whose images are alike."""

import shutil

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tests.data.pictures import encoded, write
from tinyrefinery.data.copies import near_pairs
from tinyrefinery.data.copies.find_copies import find_copies
from tinyrefinery.data.copies.fingerprints import Fingerprints, fingerprint
from tinyrefinery.data.open import open_data
from tinyrefinery.data.properties.small_images import map_chunks


def copies_in(folder, *, certain=True):
    """File names of each group of copies, of the certain or of the likely ones."""
    data = open_data("folder", root=str(folder), channels=1, validation=0.0)
    chunks = map_chunks(data, np.arange(len(data.manifest)), fingerprint)
    paths = data.manifest.column("path")
    return [
        {paths[row].rpartition("/")[2] for row in each.rows}
        for each in find_copies(data, Fingerprints.concatenate(list(chunks)))
        if each.kind != "bytes" and each.certain == certain
    ]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """500 handwritten ones and sevens, which are alike, as pictures of 32x32."""
    root = tmp_path_factory.mktemp("digits")
    images, labels = load_digits(return_X_y=True)
    for label in (1, 7):
        for number, image in enumerate(images[labels == label]):
            large = np.kron(image.reshape(8, 8), np.ones((4, 4))) * 15.9
            name = root / str(label) / f"{number:03d}.png"
            write(name, encoded(large.astype(np.uint8)[..., None]))
    return root


def test_few_digits_count_as_copies_of_one_another(digits, monkeypatch):
    found = sum(map(len, copies_in(digits)))
    monkeypatch.setattr(near_pairs, "NEARER", np.inf)
    monkeypatch.setattr(near_pairs, "NEAR", np.inf)
    alike = sum(map(len, copies_in(digits)))
    assert alike > 60  # of 361, by likeness alone
    assert found < 30


def test_few_digits_count_as_likely_copies(digits, monkeypatch):
    found = sum(map(len, copies_in(digits, certain=False)))
    monkeypatch.setattr(near_pairs, "NEAR", np.inf)
    alike = sum(map(len, copies_in(digits, certain=False)))
    assert alike > 200  # of 361, by likeness alone
    assert found < alike / 5


def test_a_copy_among_digits_is_found(digits, tmp_path):
    own = shutil.copytree(digits, tmp_path / "own")
    for number in range(20):
        Image.open(own / "1" / f"{number:03d}.png").save(
            own / "1" / f"copy{number:03d}.jpg", quality=50
        )
    pairs = [{f"{n:03d}.png", f"copy{n:03d}.jpg"} for n in range(20)]
    found = copies_in(own)
    assert sum(any(pair <= group for group in found) for pair in pairs) >= 19


def test_a_burst_of_one_scene_is_found_though_it_has_many_neighbors(digits, tmp_path):
    own = shutil.copytree(digits, tmp_path / "own")
    image = Image.open(own / "7" / "000.png")
    for quality in range(70, 90):  # more copies than the rank of a stranger
        image.save(own / "7" / f"burst{quality}.jpg", quality=quality)
    (largest, *_) = copies_in(own)
    assert sum(name.startswith("burst") for name in largest) == 20
