import numpy as np
import pytest

from tests.data.pictures import class_folders
from tinyrefinery.data.open import open_data
from tinyrefinery.data.overlay.decisions import Decision, append_decisions
from tinyrefinery.errors import DataError
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.shipped import locate

SMALL = {"train": 40, "validation": 20, "test": 20, "digits": 1}


def say(path, row, verdict, data, minute=0, by="ann", **more):
    uid = str(data.manifest.column("id")[row])
    each = Decision(uid, verdict, by, f"2026-11-21T02:{minute:02d}:00Z", **more)
    append_decisions(path, [each])


@pytest.fixture
def data():
    return open_data("street_numbers", **SMALL)


def laid(path, **more):
    return open_data("street_numbers", overlay=str(path), **SMALL, **more)


def test_each_verdict_does_what_it_says(tmp_path, data):
    path, names = tmp_path / "d.jsonl", data.classes
    given = [names[label] for label in data.manifest.labels]
    other = names[(data.manifest.labels[0] + 1) % 10]
    say(path, 0, "relabel", data, label=other, was=given[0])
    say(path, 1, "ok", data, was=given[1])
    say(path, 2, "drop", data)
    say(path, 3, "too_hard", data)
    say(path, 4, "ambiguous", data)
    say(path, 5, "skip", data)
    say(path, 65, "too_hard", data)
    say(path, 66, "drop", data)
    seen = laid(path)
    stay = np.delete(np.arange(80), [2, 3, 66])
    assert (seen.manifest.column("id") == data.manifest.column("id")[stay]).all()
    labels = data.manifest.labels[stay].copy()
    labels[0] = names.index(other)
    assert (seen.manifest.labels == labels).all()
    sources, verdicts = seen.manifest.column("label_source"), seen.manifest.column("verdict")
    assert sources[:3].tolist() == ["human:ann", "human:ann", "given"]
    assert verdicts[:4].tolist() == ["relabel", "ok", "ambiguous", None]
    assert verdicts[stay.tolist().index(65)] == "too_hard"
    assert seen.manifest.digest != data.manifest.digest
    assert (seen.images.pixels(2) == data.images.pixels(4)).all()
    (told,) = [each for each in seen.problems if each.kind == "overlay"]
    assert "1 ambiguous, 2 drop, 1 ok, 1 relabel, 2 too_hard" in told.what


def test_what_changes_no_label_changes_no_digest(tmp_path, data):
    path = tmp_path / "d.jsonl"
    say(path, 1, "ok", data)
    say(path, 4, "ambiguous", data)
    assert laid(path).manifest.digest == data.manifest.digest


def test_all_copies_of_an_image_are_meant(tmp_path):
    from tests.networks.runs import write_photos

    photos = write_photos(tmp_path / "photos", n=24)
    first = photos / "train" / "0003.png"
    (photos / "train" / "copy.png").write_bytes(first.read_bytes())
    with (photos / "metadata.csv").open("a") as file:
        file.write("train/copy.png,no_person,train,front,1\n")
    options = {"root": str(photos), "channels": 1, "validation": 0.0}
    whole = open_data("folder", **options)
    row = [path.endswith("0003.png") for path in whole.manifest.column("path")].index(True)
    say(tmp_path / "d.jsonl", row, "ok", whole, was="person")
    seen = open_data("folder", overlay=str(tmp_path / "d.jsonl"), **options)
    same = seen.manifest.column("id") == whole.manifest.column("id")[row]
    assert same.sum() == 2
    assert set(seen.manifest.labels[same]) == {seen.classes.index("person")}
    say(tmp_path / "d.jsonl", row, "drop", whole, minute=1)
    assert len(open_data("folder", overlay=str(tmp_path / "d.jsonl"), **options).manifest) == 23


def test_an_ok_of_another_label_does_not_count(tmp_path, data):
    path = tmp_path / "d.jsonl"
    wrong = data.classes[(data.manifest.labels[0] + 1) % 10]
    say(path, 0, "ok", data, was=wrong)
    say(path, 1, "ok", data)
    seen = laid(path)
    assert (seen.manifest.labels == data.manifest.labels).all()
    assert "stale_decision" in {each.kind for each in seen.problems}


def test_reviewers_who_disagree_are_told(tmp_path, data):
    path = tmp_path / "d.jsonl"
    say(path, 0, "ok", data)
    say(path, 0, "drop", data, by="bob", minute=1)
    seen = laid(path)
    assert "reviewers_disagree" in {each.kind for each in seen.problems}
    assert len(seen.manifest) == 79


def test_what_cannot_be_meant_is_refused(tmp_path, data):
    path = tmp_path / "d.jsonl"
    with pytest.raises(DataError, match="can't be read"):
        laid(path)
    append_decisions(path, [Decision("f" * 64, "ok", "ann", "2026-11-21T02:00:00Z")])
    with pytest.raises(DataError, match="none of its 1 decisions"):
        laid(path)
    say(path, 0, "relabel", data, label="cat")
    with pytest.raises(DataError, match=r"line 2: no class 'cat'"):
        laid(path)
    path.unlink()
    for row in range(40):
        say(path, row, "drop", data)
    with pytest.raises(DataError, match="leave no training image"):
        laid(path)


def test_limits_come_after(tmp_path):
    options = {"root": class_folders(tmp_path / "images"), "validation": 0}
    path, first = tmp_path / "d.jsonl", open_data("folder", **options, train_limit=10)
    say(path, 0, "drop", first)
    left = open_data("folder", **options, train_limit=10, overlay=path)
    assert len(left.manifest.rows("train")) == 10
    assert first.manifest.column("id")[0] not in left.manifest.column("id")


def test_a_recipe_names_it(tmp_path):
    recipe = load_recipe(locate("factory/planted_faults"), ["data.source.overlay=labels/d.jsonl"])
    assert recipe.data.source.overlay == "labels/d.jsonl"
