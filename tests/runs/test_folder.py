"""Run folders are read whole, unfinished stages aside, and broken files are named."""

import json
import os
import shutil

import pytest

from tests.reports.fake_run import SEEDS, STAGES, key
from tinyrefinery.errors import DataError
from tinyrefinery.runs.run_folder import open_run


def test_everything_is_read(run):
    folder = open_run(run)
    assert [(s.stage, s.seed) for s in folder.stages] == [(n, s) for n in STAGES for s in SEEDS]
    assert folder.stages[6].refiners == (key("large", 0),)
    assert folder.stages[6].labels == "<large> (crop, soft)"
    assert len(folder.stages[0].metrics) == 15
    assert folder.excluded[0]["where"] == "a/<i>.png"
    assert folder.title == "<b>demo</b>"
    assert folder.data["name"] == "street numbers"


def test_generations_of_a_stage_follow_it(run):
    path = run / "stages" / f"large-{key('large', 0)[:8]}" / "stage.json"
    facts = json.loads(path.read_text()) | {"stage": "compact_2", "generation": 2}
    path.write_text(json.dumps(facts))
    order = list(dict.fromkeys(stage.stage for stage in open_run(run).stages))
    assert order == ["compact", "compact_2", "large", "refined", "again"]


def test_the_newer_of_two_networks_counts(run):
    before = run / "stages" / f"compact-{key('compact', 0)[:8]}"
    after = shutil.copytree(before, before.with_name("compact-00000000"))
    facts = json.loads((after / "stage.json").read_text()) | {"key": "00000000ffff"}
    (after / "stage.json").write_text(json.dumps(facts))
    (after / "done.json").write_text(json.dumps({"key": facts["key"]}))
    for path, when in ((before, 2000), (after, 3000)):
        os.utime(path / "done.json", (when, when))
    folder = open_run(run)
    assert [s.key for s in folder.stages if s.stage == "compact" and s.seed == 0] == [
        "00000000ffff"
    ]
    assert len(folder.notes) == 1
    assert "The newer network (00000000) counts" in folder.notes[0]
    os.utime(before / "done.json", (4000, 4000))
    assert open_run(run).stages[0].key == key("compact", 0)


def test_files_beside_the_stages_may_be_missing(run):
    for name in ("recipe.yaml", "environment.json", "data.json", "excluded.csv"):
        (run / name).unlink()
    folder = open_run(run)
    assert folder.recipe == ""
    assert (folder.environment, folder.data, folder.excluded) == ({}, {}, ())


def test_a_folder_of_something_else(tmp_path):
    with pytest.raises(DataError, match=r"no run folder.*tinyrefinery run"):
        open_run(tmp_path)


@pytest.mark.parametrize("text", [":\n- {", "- a", "stages: 3", "stages: [a, {b: c}]", ""])
def test_any_recipe_will_do(run, text):
    (run / "recipe.yaml").write_text(text)
    folder = open_run(run)
    assert {s.stage for s in folder.stages} == set(STAGES)
    assert folder.title == ""


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("evaluation.json", '{"train": ', r"evaluation\.json: is not JSON"),
        ("evaluation.json", "[]", "holds list"),
        ("stage.json", '{"stage": "compact"}', r"stage\.json: lacks or misstates 'key'"),
        ("metrics.jsonl", "{}\n{}\n", r"metrics\.jsonl: line 1"),
    ],
)
def test_broken_files_name_themselves(run, name, text, message):
    (run / "stages" / f"compact-{key('compact', 0)[:8]}" / name).write_text(text)
    with pytest.raises(DataError, match=message):
        open_run(run)


def test_metrics_after_a_kill_and_a_resume(run):
    path = run / "stages" / f"compact-{key('compact', 0)[:8]}" / "metrics.jsonl"
    lines = [{"epoch": 0, "train_top1": 0.1}, {"epoch": 1, "train_top1": 0.2}]
    lines += [{"epoch": 1, "train_top1": 0.3}, {"epoch": 2, "train_top1": 0.4}]
    path.write_text("\n".join(map(json.dumps, lines)) + '\n{"epoch": 3, "tra')
    assert [e["train_top1"] for e in open_run(run).stages[0].metrics] == [0.1, 0.3, 0.4]
