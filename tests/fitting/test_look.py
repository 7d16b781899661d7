"""What decides how to train."""

import numpy as np
import pytest
from PIL import Image

from tinyrefinery.errors import DataError
from tinyrefinery.fitting.fit_pictures import _notes, open_for_fit
from tinyrefinery.fitting.look import look_at
from tinyrefinery.fitting.trials import Trial, is_better, ranked, without_test

CLASSES = ("bird", "cat", "fish")


def write_pictures(root, counts, size=(50, 50), *, color=True):
    random = np.random.default_rng(0)
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, (*size, 3), dtype=np.uint8)
            pixels = pixels if color else pixels[..., :1].repeat(3, -1)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def test_counts_and_sizes(tmp_path):
    root = write_pictures(tmp_path / "p", dict.fromkeys(CLASSES, 40) | {"cat": 20}, (50, 70))
    source, data = open_for_fit(root, [])
    look = look_at(data)
    assert look.train + look.validation + look.test == 100
    assert sum(look.classes.values()) == look.train
    assert look.classes["cat"] < look.classes["bird"]
    assert (look.height, look.width, look.channels) == (50, 70, 3)
    assert source["name"] == "folder"
    assert all(h <= 50 and w <= 70 and w > h for h, w in look.sizes)
    assert 1.9 < look.imbalance < 2.3


def test_gray_pictures_are_opened_in_gray(tmp_path):
    root = write_pictures(tmp_path / "p", dict.fromkeys(CLASSES, 30), color=False)
    source, data = open_for_fit(root, [])
    assert source["channels"] == data.images.channels == 1
    source, data = open_for_fit(root, ["channels=3"])
    assert data.images.channels == 3


@pytest.mark.parametrize("words", [[], ["channels=1"]])
def test_one_colored_picture_among_gray_ones_is_noted(tmp_path, words):
    root = write_pictures(tmp_path / "p", dict.fromkeys(CLASSES, 20), color=False)
    Image.fromarray(np.full((50, 50, 3), (200, 40, 40), np.uint8)).save(root / "cat" / "0.png")
    _, data = open_for_fit(root, ["test=0.2", "seed=1", *words])
    notes = [note for note in _notes(data, look_at(data), "") if "have color" in note]
    paths, splits = (list(data.manifest.column(name)) for name in ("path", "split"))
    (row,) = (number for number, path in enumerate(paths) if str(path).endswith("cat/0.png"))
    assert splits[row] != "test"  # else nothing looks at it
    assert len(notes) == (not words)
    assert not notes or notes[0].startswith("1 of ")


@pytest.mark.parametrize(
    ("counts", "words", "wrong"),
    [
        ({"cat": 40}, [], "one class folder only"),
        ({"cat": 40, "dog": 6}, [], "too few training pictures of dog"),
        ({"cat": 40, "dog": 40}, ["test=0"], "has no test pictures. Write test=0.2"),
    ],
)
def test_pictures_that_can_not_be_trained_on(tmp_path, counts, words, wrong):
    root = write_pictures(tmp_path / "p", counts)
    with pytest.raises(DataError, match=wrong):
        look_at(open_for_fit(root, words)[1])


def test_a_folder_that_is_not_there():
    with pytest.raises(DataError, match="no such folder or file"):
        open_for_fit("nowhere/photos", [])


def test_no_test_picture_is_left_for_the_search(tmp_path):
    root = write_pictures(tmp_path / "p", dict.fromkeys(CLASSES, 30))
    data = open_for_fit(root, [])[1]
    kept = without_test(data)
    test = data.manifest.rows("test")
    assert len(test)
    assert len(kept.manifest.rows("test")) == 0
    for split in ("train", "validation"):
        assert kept.manifest.rows(split).tolist() == data.manifest.rows(split).tolist()
    assert kept.manifest.column("id").tolist() == data.manifest.column("id").tolist()


def trial(name, top1, nll):
    return Trial(name, 5, "given", "", top1, nll, 1.0)


def test_ranking_by_accuracy_and_likelihood():
    best, calm, sure = trial("a", 0.8, 0.5), trial("b", 0.7, 0.6), trial("c", 0.75, 0.9)
    assert [each.candidate for each in ranked([sure, calm, best])] == ["a", "c", "b"]
    tied = [trial("a", 0.8, 0.9), trial("b", 0.8, 0.5)]
    assert ranked(tied)[0].candidate == "b"
    assert is_better(trial("x", 0.8, 0.4), trial("y", 0.8, 0.5))
    assert not is_better(trial("x", 0.81, 0.6), trial("y", 0.8, 0.5))
