import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from tinyrefinery.cli.main import app
from tinyrefinery.data.overlay.decisions import disagreements, newest_by_image, read_decisions
from tinyrefinery.errors import DataError
from tinyrefinery.review.label_studio import interface, read_export, tasks
from tinyrefinery.review.queue import Item, Queue, write_queue

GOLDEN = Path(__file__).parent / "golden"
A, B, C = ("a" * 64, "b" * 64, "c" * 64)


@pytest.fixture
def queue(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a b.png", "c.png"):
        (tmp_path / "in" / name).write_bytes(b"")
    says = {"suggest": "dog", "refiner": {"dog": 0.83}, "given": "cat"}
    first = str(tmp_path / "in" / "a b.png")
    items = (
        Item(A, first, "label_suspect", "looks so", **says),
        Item(C, str(tmp_path / "in" / "c.png"), "random", "at random"),
    )
    return Queue("q-1", ({"name": "x"},), ("cat", "dog"), 3, (8, 8), items, run="demo refined")


def test_tasks_are_those_on_record(tmp_path, queue):
    want = (GOLDEN / "tasks.json").read_text().replace("ROOT", str(tmp_path))
    assert tasks(queue, tmp_path) == json.loads(want)
    with pytest.raises(DataError, match="not a file in"):
        tasks(queue, tmp_path / "elsewhere")


def test_a_task_of_a_test_image_has_no_prediction(tmp_path, queue):
    first = replace(queue.items[0], split="test", why="refined label dog")
    (task,) = tasks(replace(queue, items=(first,)), tmp_path)
    assert "predictions" not in task
    assert "dog" not in json.dumps(task)


def test_the_interface_is_that_on_record():
    text = interface(["cat", "<dog> & co"])
    assert text == (GOLDEN / "interface.xml").read_text()
    choices = ElementTree.fromstring(text).findall("./Choices[@name='label']/Choice")
    assert [each.get("value") for each in choices] == ["cat", "<dog> & co"]


def test_an_export_is_read_back():
    said = read_export(GOLDEN / "export.json")
    told = [(each.uid, each.by, each.verdict, each.label, each.seconds) for each in said]
    assert told == [
        (A, "ann@example.org", "ok", None, 1.0),  # the later of two
        (A, "4", "relabel", "dog", 2.0),
        (B, "4", "too_hard", None, None),  # a verdict goes before a label
        (C, "4", "skip", None, None),
    ]
    assert (said[0].reason, said[0].queue, said[0].was) == ("random", "q-1", "cat")
    assert set(disagreements(said)) == {A}
    assert set(newest_by_image(said)) == {A, B}


def test_both_ways_through_the_commands(tmp_path, queue, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_queue(tmp_path / "q.jsonl", queue)
    done = CliRunner().invoke(app, ["review", "q.jsonl", "--label-studio", "t.json"])
    assert done.exit_code == 0, done.output
    content = json.loads((tmp_path / "t.json").read_text())
    assert (tmp_path / "t.xml").read_text() == interface(["cat", "dog"])
    choice = content[0]["predictions"][0]["result"]
    at = "2026-11-21T02:10:00.5Z"
    answered = {"completed_by": 1, "created_at": at, "was_cancelled": False, "result": choice}
    content[0]["annotations"] = [answered]
    (tmp_path / "export.json").write_text(json.dumps(content))
    for _ in range(2):
        done = CliRunner().invoke(app, ["apply", "export.json"])
        assert done.exit_code == 0, done.output
    (said,) = read_decisions(tmp_path / "labels" / "decisions.jsonl")
    assert (said.uid, said.verdict, said.label, said.was) == (A, "relabel", "dog", "cat")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is not JSON"),
        ("{}", "expected a list"),
        ("[1]", "task 1: missing or wrong"),
        ('[{"data": {}}]', "task 1: has no uid"),
        ('[{"data": {"uid": "x"}, "annotations": [{"result": []}]}]', "has no time"),
        (
            '[{"data": {"uid": "x"}, "annotations": [{"created_at": "2026-11-21T02:10:00Z"}]}]',
            "not a SHA-256",
        ),
    ],
)
def test_what_is_no_export_is_told(tmp_path, text, told):
    (tmp_path / "e.json").write_text(text)
    with pytest.raises(DataError, match=told):
        read_export(tmp_path / "e.json")


@pytest.mark.parametrize(
    ("name", "choice", "message"),
    [("choice", "cat", "the control 'choice'.*Rename"), ("verdict", "maybe", "no verdict 'maybe'")],
)
def test_choices_are_never_dropped(tmp_path, name, choice, message):
    result = [{"from_name": name, "type": "choices", "value": {"choices": [choice]}}]
    annotation = {"created_at": "2026-01-01T00:00:00Z", "result": result}
    task = {"data": {"uid": A}, "annotations": [annotation]}
    (tmp_path / "e.json").write_text(json.dumps([task]))
    with pytest.raises(DataError, match=message):
        read_export(tmp_path / "e.json")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"choices": ["cat", "dog"]}, "2 choices of the control 'label'. Give one, or the verdict"),
        ({"taxonomy": [["cat"]]}, "the control 'label' has no choices. Label in the controls"),
    ],
)
def test_labels_in_another_form_are_never_dropped(tmp_path, value, message):
    result = [{"from_name": "label", "value": value}]
    annotation = {"created_at": "2026-01-01T00:00:00Z", "result": result}
    task = {"data": {"uid": A}, "annotations": [annotation]}
    (tmp_path / "e.json").write_text(json.dumps([task]))
    with pytest.raises(DataError, match=message):
        read_export(tmp_path / "e.json")


def test_an_old_export_and_an_empty_one(tmp_path):
    task = {"data": {"uid": A}, "completions": [{"id": 1, "result": []}]}
    (tmp_path / "old.json").write_text(json.dumps([task]))
    with pytest.raises(DataError, match=r"task 1: has 'completions'.*before version 1.0"):
        read_export(tmp_path / "old.json")
    (tmp_path / "none.json").write_text("[]")
    places = ["--overlay", str(tmp_path / "o.jsonl"), "--slices", str(tmp_path / "s")]
    done = CliRunner().invoke(app, ["apply", str(tmp_path / "none.json"), *places])
    assert done.exit_code == 0
    assert "nothing to apply" in done.output
    assert "next:" not in done.output
