"""What a command can't write to is told before it works, and nothing is made."""

import os
from pathlib import Path
from typing import get_type_hints

import pytest
from typer.testing import CliRunner

from tests.commands import every_command
from tests.networks.runs import write_photos, write_run
from tinyrefinery.cli.main import app

FILE, FOLDER = "is a file, not a folder", "it is a folder, not a file"
WRITING = {
    "apply": {"--overlay": FOLDER, "--slices": FILE},
    "audit": {"--out": FILE},
    "bench": {"--json": FOLDER},
    "bundle": {"--out": FILE},
    "card": {"--out": FILE},
    "compare": {"--html": FOLDER},
    "demo": {"--runs": FILE},
    "detect draw": {"--out": FILE},
    "detect train": {"--runs": FILE},
    "export": {"--out": FILE},
    "fit": {"--out": FILE},
    "init": {"out": FOLDER},
    "label": {"--out": FILE},
    "label-quality": {"--out": FOLDER},
    "label-store export": {"out": FOLDER},
    "label-store make": {"--runs": FILE},
    "latency": {"--out": FILE},
    "mine": {"--out": FOLDER},
    "refiner": {"--out": FOLDER},
    "refiner-gains": {"--out": FOLDER},
    "report": {"--out": FOLDER},
    "reproduce": {"--runs": FILE},
    "review": {"--decisions": FOLDER, "--static": FOLDER, "--label-studio": FOLDER},
    "run": {"--runs": FILE},
    "pareto": {"--out": FOLDER},
    "predict": {"--csv": FOLDER, "--json": FOLDER},
    "saliency": {"--out": FOLDER, "--overlays": FILE},
    "summary": {"--json": FOLDER},
    "test": {"--junit": FOLDER, "--html": FOLDER, "--json": FOLDER},
    "variance": {"--out": FILE},
}
"""Command -> its options and arguments that name what it writes, and what it says of the other."""
READ = {
    *("run", "runs", "tests", "baseline", "like", "history", "reference", "accept", "model"),
    *("refiner", "images", "gold", "decisions", "classes", "weights", "human", "queue", "root"),
    *("stores", "store", "folder", "overlay", "artifact", "pictures", "tflm", "exports"),
}
"""Names of what commands only read, where `WRITING` doesn't say otherwise."""


COMMANDS = every_command()


def call(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def refused(done) -> str:
    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.output
    return " ".join(done.output.split())


def test_every_path_of_every_command_is_known():
    """A new option must be put into one of the tables above."""
    for name, command in COMMANDS.items():
        written, hints = WRITING.get(name, {}), get_type_hints(command.callback)
        for param in command.params:
            hint = str(hints[param.name]) if param.name in hints else ""
            if "Path" in hint and param.opts[0] not in written:
                assert param.name in READ, f"{name} {param.opts[0]}: written, or read?"


def words(name, option, place):
    """What a command must be given, with `place` where `option` is asked for."""
    said = [] if not option.startswith("-") else [option, place]
    for param in COMMANDS[name].params:
        if param.opts[0] == option and not option.startswith("-"):
            said.append(place)
        elif param.required:
            said += ["none"] if param.param_type_name == "argument" else [param.opts[0], "none"]
    return said


@pytest.mark.parametrize("name", WRITING)
def test_what_is_in_the_way_is_told_before_anything_is_opened(name, tmp_path, monkeypatch):
    """What the command would read isn't there, and is not what it tells of."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    for option, told in WRITING[name].items():
        in_the_way = "file" if told == FILE else "folder"
        for place, why in ((in_the_way, told), ("file/in/it", "file is a file, not a")):
            message = refused(call(*name.split(), *words(name, option, place)))
            assert f"{place}: is not writable: " in message
            assert why in message
            assert "Nothing was changed" in message
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    "words",
    [
        ["run", "starter/demo", "--smoke"],
        ["label-store", "make", "starter/demo", "stages.refined.labels.store=labels/"],
        ["detect", "train", "detection/raccoon", "--smoke"],
    ],
)
def test_a_file_where_the_run_folder_must_be(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").write_text("")
    message = refused(call(*words, "--runs", ".", "--name", "mine"))
    assert "mine: is not writable: it is a file, not a folder" in message


@pytest.mark.parametrize("words", [["run"], ["label-store", "make"]])
def test_a_file_where_labels_are_to_be_kept(words, tmp_path, monkeypatch):
    """It would be met when the refiner is trained."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels").write_text("")
    monkeypatch.setattr(
        "tinyrefinery.execution.execute.builders.dataset", lambda *_: pytest.fail("worked")
    )
    message = refused(call(*words, "starter/demo", "stages.refined.labels.store=labels/"))
    assert "labels: is not writable: it is a file, not a folder" in message


def test_a_run_that_keeps_no_results_is_told_before_its_data_is_opened(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run", write_photos(tmp_path / "photos"))
    (run / "data_tests").write_text("")
    tests = tmp_path / "data_tests.yaml"
    tests.write_text("tests: {fine: {at_least: 0}}")
    monkeypatch.setattr("tinyrefinery.data.open.open_data", lambda *_, **__: pytest.fail("worked"))
    for command in (["test", run, tests], ["compare", run, "--tests", tests]):
        assert "data_tests is a file, not a folder" in refused(call(*command))


@pytest.mark.parametrize("name", WRITING)
def test_a_place_without_permission_names_the_option_that_chooses_another(
    name, tmp_path, monkeypatch
):
    """Permission is taken away from this folder only: administrators, who may run the tests, pass
    any file's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "locked").mkdir()
    access = os.access
    monkeypatch.setattr(
        os, "access", lambda path, how: "locked" not in str(path) and access(path, how)
    )
    for option in WRITING[name]:
        done = call(*name.split(), *words(name, option, "locked/it"))
        message = " ".join(done.output.split())
        assert done.exit_code == 4, message
        assert "locked/it: is not writable: no permission to write to locked" in message
        given = next(p.opts[-1] for p in COMMANDS[name].params if p.opts[0] == option)
        assert "Choose another path" in message
        assert not option.startswith("-") or f"Choose another path: {given} F" in message


def test_a_run_without_permission_can_be_copied(tmp_path, monkeypatch):
    """No option names where what a network predicts is kept, so no other path can be chosen."""
    run = write_run(tmp_path / "run", write_photos(tmp_path / "photos"))
    monkeypatch.setattr(
        os, "access", lambda path, how: not (how & os.W_OK and Path(path).is_relative_to(run))
    )
    kept = f"Allow writing to {run}, or copy it and name the copy."
    defaults = {
        ("mine", run, "--out", tmp_path / "queue.jsonl"): kept,
        ("evaluate", run, f"data.source.root={tmp_path / 'photos'}"): kept,
        ("report", run): "Choose another path: report --out FILE writes nothing into the runs.",
        ("card", run): "Choose another path: --out FOLDER.",
        ("refiner", run): "Choose another path: --out FILE.",
        ("label-quality", run): "Choose another path: --out FILE.",
    }
    for command, remedy in defaults.items():
        done = call(*command)
        message = " ".join(done.output.split())
        assert done.exit_code == 4, message
        assert message.endswith(f"Nothing was changed. {remedy}"), message
