"""Near copies are in one split, opening reports them, and the audit looks at these splits."""

import numpy as np
import pytest

from tests.data.pictures import encoded, write
from tests.data.test_copies import photograph
from tinyrefinery.audit.target import open_target
from tinyrefinery.data.copies import together
from tinyrefinery.data.open import open_data
from tinyrefinery.errors import DataError


@pytest.fixture(scope="module")
def burst(tmp_path_factory):
    """Two classes with 60 pictures each; of every other picture there are two near copies."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        for number in range(60):
            picture = photograph(rng, 48)
            write(root / name / f"{number:02d}-0.png", encoded(picture, "png"))
            if number % 2:
                write(root / name / f"{number:02d}-1.jpg", encoded(picture, "jpeg", quality=60))
                dim = (picture * 0.7).astype(np.uint8)
                write(root / name / f"{number:02d}-2.png", encoded(dim, "png"))
    return root


def divided(data):
    """Pictures whose copies are in several splits."""
    splits = {}
    for path, split in zip(
        data.manifest.column("path"), data.manifest.column("split"), strict=True
    ):
        splits.setdefault(path.rpartition("-")[0], set()).add(split)
    return sum(len(each) > 1 for each in splits.values())


@pytest.mark.parametrize("resident", ["auto", "never"])
def test_near_copies_are_in_one_split(burst, resident):
    options = {"root": str(burst), "validation": 0.2, "test": 0.2, "resident": resident}
    assert divided(open_data("folder", near_copies="apart", **options)) > 20
    data = open_data("folder", **options)
    assert divided(data) == 0
    (note,) = (each for each in data.problems if each.kind == "near_copies")
    assert note.what.startswith("180 images are near copies of others")
    counts = [len(data.manifest.rows(split)) for split in ("train", "validation", "test")]
    assert min(counts[1:]) > 0.1 * sum(counts)


def test_images_without_copies_keep_their_groups(burst):
    data = open_data("folder", root=str(burst), validation=0.2, near_copies="apart")
    groups = data.manifest.column("id").astype(str)
    joined, count = together.with_copies_joined(groups, data)
    paths = data.manifest.column("path")
    single = [path.endswith("-0.png") and int(path[-8:-6]) % 2 == 0 for path in paths]
    assert count == 180
    assert (joined[single] == groups[single]).all()
    assert len(set(joined)) == 120


def test_groups_of_a_column_are_joined_as_a_whole(burst):
    data = open_data("folder", root=str(burst), validation=0.2)
    paths = data.manifest.column("path")
    halves = np.array(["a" if path.endswith(("-0.png", "-1.jpg")) else "b" for path in paths])
    joined, _ = together.with_copies_joined(halves, data)
    assert set(joined) == {"a"}


def test_the_pairs_are_read_from_the_cache(burst, monkeypatch):
    first = open_data("folder", root=str(burst), validation=0.2)
    monkeypatch.setattr(together, "near_pairs", None)
    again = open_data("folder", root=str(burst), validation=0.2)
    assert again.manifest.digest == first.manifest.digest


def test_copies_do_not_fail_a_strict_opening(burst):
    data = open_data("folder", root=str(burst), validation=0.2, strict=True)
    assert "near_copies" in {each.kind for each in data.problems}


def test_too_many_images_are_reported_and_not_compared(burst, monkeypatch):
    monkeypatch.setattr("tinyrefinery.data.copies.together.MOST", 100)
    data = open_data("folder", root=str(burst), validation=0.2)
    (note,) = (each for each in data.problems if each.kind == "near_copies")
    assert "more than 100" in note.what


def test_the_audit_looks_at_the_splits_of_the_starter_recipe(burst, tmp_path):
    audited = open_target(str(burst), [], tmp_path).dataset
    trained = open_data("folder", root=str(burst), validation=0.1, test=0.2)
    assert audited.manifest.digest == trained.manifest.digest
    assert len(audited.manifest.rows("test"))


def test_an_unknown_word_is_one_message(burst):
    with pytest.raises(DataError, match="near_copies"):
        open_data("folder", root=str(burst), near_copies="never")
