import json

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from tests.networks.runs import CLASSES, write_photos, write_run
from tinyrefinery.cli.main import app
from tinyrefinery.data.open import open_data
from tinyrefinery.errors import DataError
from tinyrefinery.evaluation.dynamics_table import dynamics_table, save_dynamics
from tinyrefinery.review.mining import mine
from tinyrefinery.review.queue import read_queue, write_queue

TESTS = """
tests:
  everything: {metric: accuracy, at_least: 0.999, min_n: 10}
  easy: {metric: accuracy, at_least: 0.01, min_n: 10}
"""
ONLY_FAILED = [
    word
    for name in ("label_suspect", "disagreement", "shortcut", "random")
    for word in ("--share", f"{name}=0")
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    home = tmp_path_factory.mktemp("mining")
    photos = write_photos(home / "photos", n=120)
    run = write_run(home / "run", photos)
    (plain,) = run.glob("stages/plain-*")
    (refined,) = run.glob("stages/refined-*")
    facts = json.loads((refined / "stage.json").read_text())
    facts["refiners"] = [json.loads((plain / "stage.json").read_text())["key"]]
    (refined / "stage.json").write_text(json.dumps(facts))
    manifest = open_data("folder", root=str(photos), channels=1).manifest
    rows = manifest.rows("train")
    aum = np.linspace(-3, 3, len(rows))
    measures = {
        "aum": aum,
        "disagreement": np.where(aum < 0, 0.9, 0.1),
        "refined_class": np.where(aum < 0, 1 - manifest.labels[rows], manifest.labels[rows]),
        "given_probability": np.where(aum < 0, 0.1, 0.9),
    }
    table = dynamics_table(manifest, rows, measures)
    assert isinstance(table, pa.Table)
    save_dynamics(refined / "dynamics.parquet", table)
    (home / "data_tests.yaml").write_text(TESTS)
    return home


def test_a_queue_says_why(place):
    tests = place / "data_tests.yaml"
    mined = mine(place / "run", tests=tests, budget=30, test_images=True)
    items = mined.queue.items
    assert 0 < len(items) <= 30
    assert len({each.uid for each in items}) == len(items)
    reasons = {each.reason for each in items}
    assert {"failed_test", "label_suspect", "random"} <= reasons
    by = {name: [each for each in items if each.reason == name] for name in reasons}
    assert {each.split for each in by["failed_test"]} == {"test"}
    assert {each.failed_tests for each in by["failed_test"]} == {("everything",)}
    assert by["label_suspect"][0].aum == -3.0
    assert by["label_suspect"][0].suggest != by["label_suspect"][0].given
    assert {each.split for each in by["random"]} == {"train"}
    assert all(each.why for each in items)
    assert mined.queue.classes == CLASSES
    assert mined.queue.population == 27  # a quarter are for training, a tenth of it validates


def test_test_images_are_chosen_on_request_only(place, tmp_path, monkeypatch):
    """A label corrected only where the network fails raises its test accuracy."""
    mined = mine(place / "run", tests=place / "data_tests.yaml", budget=200)
    assert "test" not in {each.split for each in mined.queue.items}
    assert {each.reason for each in mined.queue.items} >= {"label_suspect", "random"}
    notes = [note for note in mined.notes if note.startswith("failed_test: left out")]
    assert len(notes) == 1
    assert "--test-images" in notes[0]
    monkeypatch.chdir(tmp_path)
    words = ["mine", str(place / "run"), "--tests", str(place / "data_tests.yaml"), "--budget", "9"]
    done = CliRunner().invoke(app, [*words, "--test-images"])
    assert done.exit_code == 0, done.output
    number = sum(each.split == "test" for each in read_queue(tmp_path / "queue.jsonl").items)
    assert number > 0
    assert f"{number} of them are test images" in done.output
    done = CliRunner().invoke(app, [*words, "--share", "failed_test=1", *ONLY_FAILED])
    assert done.exit_code == 2
    assert "--test-images" in done.output


def test_equal_seeds_give_equal_queues(place, tmp_path):
    one, two = (mine(place / "run", budget=12, seed=3).queue for _ in range(2))
    assert one == two
    other = mine(place / "run", budget=12, seed=4).queue
    drawn = [[each.uid for each in q.items if each.reason == "random"] for q in (one, other)]
    assert drawn[0] != drawn[1]
    write_queue(tmp_path / "q.jsonl", one)
    assert read_queue(tmp_path / "q.jsonl") == one


def test_the_command_writes_it(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["mine", str(place / "run"), "--budget", "9", "--share", "random=1", "-o", "q.jsonl"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert len(read_queue(tmp_path / "q.jsonl").items) == 9
    assert "failed_test: no file of data tests was given" in done.output
    for wrong, told in ((["--share", "x"], "expected e.g."), (["--share", "x=1"], "no reason")):
        done = CliRunner().invoke(app, [*words, *wrong])
        assert done.exit_code == 2
        assert told in done.output


def test_what_cannot_be_mined(place):
    with pytest.raises(DataError, match="budget of 0"):
        mine(place / "run", budget=0)
    (file,) = (place / "run").glob("stages/plain-*/model.safetensors")
    copy = place / "alone.safetensors"
    copy.write_bytes(file.read_bytes())
    with pytest.raises(DataError, match="network without a run"):
        mine(copy)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda lines: [], "empty file"),
        (lambda lines: ["{}", *lines[1:]], "not a queue of this version"),
        (lambda lines: [lines[0], "{", *lines[1:]], "line 2"),
        (lambda lines: [*lines, lines[1]], "have the same image"),
        (lambda lines: [lines[0], lines[1].replace('"reason": "', '"reason": "x')], "no reason 'x"),
        (lambda lines: [lines[0], '{"uid": "a"}'], "line 2: missing"),
    ],
)
def test_broken_queues_are_told(place, tmp_path, change, told):
    path = tmp_path / "q.jsonl"
    write_queue(path, mine(place / "run", budget=4).queue)
    path.write_text("\n".join(change(path.read_text().splitlines())))
    with pytest.raises(DataError, match=told):
        read_queue(path)


def test_a_run_whose_pictures_moved(place, tmp_path):
    """By the images' identities: what it was trained on stays training data."""
    import shutil

    home = shutil.copytree(place, tmp_path / "home")
    moved = f"data.source.root={home / 'elsewhere'}"
    before = mine(home / "run", budget=30)
    recipe = next(home.glob("run/recipe.yaml"))
    (place / "photos").rename(place / "gone")
    (home / "photos").rename(home / "elsewhere")
    try:
        call = CliRunner().invoke
        run, tests = str(home / "run"), str(home / "data_tests.yaml")
        with pytest.raises(DataError, match="photos"):
            mine(home / "run", budget=30)
        after = mine(home / "run", budget=30, overrides=[moved])
        tested = call(app, ["test", run, tests, moved])
        compared = call(app, ["compare", run, moved, "--tests", tests])
        wrong = call(app, ["test", run, tests, "seed=3"])
        by_command = call(app, ["mine", run, moved, "--out", str(tmp_path / "q.jsonl")])
    finally:
        (place / "gone").rename(place / "photos")
    assert recipe.exists()
    kept = [(i.uid, i.reason, i.split) for i in before.queue.items]
    assert [(i.uid, i.reason, i.split) for i in after.queue.items] == kept
    assert tested.exit_code == 1, tested.output  # as before it moved: a test fails
    assert "n = " in tested.output or "everything" in tested.output
    assert compared.exit_code == 0, compared.output
    assert by_command.exit_code == 0, by_command.output
    assert wrong.exit_code == 2
    assert "data.source.NAME=VALUE" in wrong.output or "is no override" in wrong.output
