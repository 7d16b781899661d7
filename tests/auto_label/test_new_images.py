"""New images join training: label -> review -> apply -> run, and never what measures."""

import json
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.auto_label.test_auto_label import Brightness, write_pictures
from tests.networks.runs import RECIPE
from tinyrefinery.auto_label.auto_labels import Limits, auto_label, queue_of, save_auto_labels
from tinyrefinery.cli.main import app
from tinyrefinery.data.open import open_data
from tinyrefinery.data.overlay.decisions import (
    Decision,
    append_decisions,
    read_decisions,
    timestamp,
)
from tinyrefinery.data.sources.folder import open_unlabeled
from tinyrefinery.errors import DataError
from tinyrefinery.review.queue_pictures import open_queue_data


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A data set, new photos beside it, and what labeling these gave."""
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "data", 120, 0, sorted_out=True)
    write_pictures(tmp_path / "gold", 400, 1, sorted_out=True)
    write_pictures(tmp_path / "photos", 60, 2, sorted_out=False)
    return tmp_path


class Doubtful(Brightness):
    """Wrong about each tenth image of the gold, of which it isn't sure."""

    def __call__(self, dataset, rows):
        self.wrong = range(0, 400, 10) if len(dataset.manifest) == 400 else ()
        return super().__call__(dataset, rows)


def label(home):
    """What `tinyrefinery label` does; its queue."""
    gold = open_data("folder", root="gold", channels=1, validation=0.0)
    images = open_unlabeled("photos", 1)
    labeler = Doubtful()
    made = auto_label(labeler, images, gold, np.arange(400), Limits(precision=0.9, audit=0.3))
    queue = queue_of(made, home / "photos", labeler, ())
    save_auto_labels(home / "auto", made, queue, ())
    return queue


def call(*words):
    done = CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
    return done


def laid(home, **more):
    options = {"root": "data", "channels": 1, "seed": 1, "test": 0.2} | more
    return open_data("folder", overlay="labels/decisions.jsonl", **options)


def test_the_cycle_closes_with_new_pictures(home):
    queue = label(home)
    doubtful = [each for each in queue.items if each.reason == "auto_label"]
    checked = [each for each in queue.items if each.reason == "audit"]
    word = dict(by="ann", queue=queue.name)
    said = [
        Decision(
            doubtful[0].uid, "relabel", at=timestamp(), label="person", reason="auto_label", **word
        ),
        Decision(doubtful[1].uid, "drop", at=timestamp(), **word),
        Decision(
            checked[0].uid, "drop", at=timestamp(), was=checked[0].given, reason="audit", **word
        ),
        Decision(
            checked[1].uid, "ok", at=timestamp(), was=checked[1].given, reason="audit", **word
        ),
    ]
    append_decisions(home / "auto" / "queue.decisions.jsonl", said)
    done = call("apply", "auto")
    assert done.exit_code == 0, done.output
    assert "55 images are added to training, 54 labeled by a network, 1 by people" in done.output
    plain = open_data("folder", root="data", channels=1, seed=1, test=0.2)
    seen = laid(home)
    assert len(seen.manifest) == 120 + 55 - 1  # one was dropped again
    new = ~np.isin(seen.manifest.column("id"), plain.manifest.column("id"))
    assert set(seen.manifest.column("split")[new]) == {"train"}
    for split in ("test", "validation"):
        own = plain.manifest.column("id")[plain.manifest.rows(split)]
        assert (seen.manifest.column("id")[seen.manifest.rows(split)] == own).all()
    at = {uid: row for row, uid in enumerate(seen.manifest.column("id"))}
    sources = seen.manifest.column("label_source")
    assert sources[at[doubtful[0].uid]] == sources[at[checked[1].uid]] == "human:ann"
    assert seen.classes[seen.manifest.labels[at[doubtful[0].uid]]] == "person"
    assert sum(each.startswith("auto:brightness@") for each in sources) == 52
    row = at[checked[1].uid]
    want = np.asarray(Image.open(seen.manifest.column("path")[row]))
    np.testing.assert_array_equal(seen.images.pixels(row)[..., 0], want)
    lines = (home / "labels" / "decisions.jsonl").read_text()
    assert "already" not in call("apply", "auto").output
    assert (home / "labels" / "decisions.jsonl").read_text() == lines  # giving it twice is safe


def test_a_run_learns_from_them(home):
    label(home)
    call("apply", "auto")
    recipe = RECIPE.format(root="data").split("  - id: refined")[0]
    (home / "recipe.yaml").write_text(recipe)
    words = ("recipe.yaml", "stages.plain.epochs=1", "--runs", "runs")
    assert call("run", *words, "--name", "before").exit_code == 0
    done = call("run", *words, "data.source.overlay=labels/decisions.jsonl", "--name", "after")
    assert done.exit_code == 0, done.output
    sizes = [
        json.loads((home / "runs" / name / "data.json").read_text())["splits"]["train"]
        for name in ("before", "after")
    ]
    assert sizes[1] == sizes[0] + 54
    assert "54 new training images" in (home / "runs" / "after" / "excluded.csv").read_text()


def add(home, name, label="person", uid=None):
    """A line that adds a picture."""
    path = home / "photos" / "new" / name
    uid = uid or sha256(path.read_bytes()).hexdigest()
    line = Decision(
        uid, "add", "human:bob", timestamp(), label=label, file_name=f"../photos/new/{name}"
    )
    append_decisions(home / "labels" / "decisions.jsonl", [line])
    return line


def test_what_the_data_has_is_not_added(home):
    copy = home / "photos" / "new" / "0000.png"
    plain = open_data("folder", root="data", channels=1, seed=1, test=0.2)
    tested = plain.manifest.column("path")[plain.manifest.rows("test")[0]]
    copy.write_bytes((home / tested).read_bytes())
    add(home, "0000.png")
    add(home, "0001.png")
    seen = laid(home)
    assert len(seen.manifest) == 121
    (told,) = [each.what for each in seen.problems if each.kind == "additions"]
    assert told == "1 new training images; 1 are already in the data"


def test_files_that_are_gone_or_changed_are_left_out_and_told(home):
    for name in ("0000.png", "0001.png", "0002.png"):
        add(home, name)
    (home / "photos" / "new" / "0000.png").unlink()
    other = (home / "photos" / "new" / "0005.png").read_bytes()
    (home / "photos" / "new" / "0001.png").write_bytes(other)
    seen = laid(home)
    assert len(seen.manifest) == 121
    told = [each for each in seen.problems if each.kind == "missing_addition"]
    assert len(told) == 2
    assert "changed after it was added" in told[1].what
    (home / "photos" / "new" / "0002.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="none of the 3 images"):
        laid(home)


def test_undone_and_said_anew(home):
    first = add(home, "0000.png", "person")
    add(home, "0000.png", "no_person")
    add(home, "0001.png")
    path = home / "labels" / "decisions.jsonl"
    newest = laid(home).manifest
    assert newest.classes[newest.labels[list(newest.column("id")).index(first.uid)]] == "no_person"
    last = read_decisions(path)[-1]
    undo = Decision(last.uid, "undo", last.by, timestamp(), of=last.at)
    append_decisions(path, [undo])
    assert len(laid(home).manifest) == 121
    add(home, "0003.png", "cat")
    with pytest.raises(DataError, match=r"line 5: no class 'cat'"):
        laid(home)


@pytest.mark.parametrize("resident", ["never", "auto", "always"])
def test_pixels_are_those_of_the_files_however_they_are_kept(home, resident):
    add(home, "0000.png")
    large = home / "photos" / "new" / "0001.png"
    if resident != "always":  # of another size than the data's
        Image.fromarray(np.arange(300, dtype=np.uint8).reshape(15, 20)).save(large)
    add(home, "0001.png")
    seen = laid(home, resident=resident)
    few = seen.select(np.array([len(seen.manifest) - 1, 3, 0]))
    for data in (seen, few):
        for row, path in enumerate(data.manifest.column("path")):
            own = np.asarray(Image.open(path))
            np.testing.assert_array_equal(data.images.pixels(row)[..., 0], own)
            assert (data.images.sizes[row] == own.shape).all()
    assert few.select(np.array([1])).images.pixels(0).shape == (8, 8, 1)


def test_their_pictures_can_be_reviewed_again(home):
    line = add(home, "0000.png")
    queue = label(home)
    source = {"name": "folder", "root": "data", "channels": 1, "overlay": "labels/decisions.jsonl"}
    (opened,) = open_queue_data(replace(queue, data=(source,)))
    assert line.uid in set(opened.manifest.column("id"))


def test_other_folders_are_refused(home):
    done = call("apply", "photos")
    assert done.exit_code == 2
    assert "none that `tinyrefinery label` wrote" in done.output


def test_a_folder_of_which_only_other_images_were_decided(home):
    add(home, "0000.png")
    word = Decision("f" * 64, "drop", "ann", timestamp())
    append_decisions(home / "labels" / "decisions.jsonl", [word])
    assert len(laid(home).manifest) == 121
