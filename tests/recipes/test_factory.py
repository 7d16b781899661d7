"""A turn of the cycle, from faults to the page of what moved: small and fast, and as shipped."""

import csv
import json
import sys

import pytest

from tinyrefinery.data.open import open_data
from tinyrefinery.data_tests.data_test_file import load_suite
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.shipped import shipped_folder

FACTORY = shipped_folder() / "factory"


@pytest.fixture
def turn(monkeypatch):
    """The script as a module, as when it is run."""
    monkeypatch.syspath_prepend(str(FACTORY))
    for name in ("turn", "oracle"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import turn

    yield turn
    for name in ("turn", "oracle"):
        sys.modules.pop(name, None)


def run(turn, out, monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["turn.py", "--out", str(out), *options])
    turn.main()


def test_every_step_works(turn, tmp_path, monkeypatch, capsys):
    out = tmp_path / "factory"
    run(turn, out, monkeypatch, "--smoke")
    told = capsys.readouterr().out
    steps = [line.split()[2] for line in told.splitlines() if line.startswith("$ tinyrefinery ")]
    assert steps == ["run", "test", "audit", "mine", "apply", "run", "test", "compare"]
    assert "s changed" in (out / "moved.html").read_text()
    assert 'class="over"' in (out / "before.html").read_text()
    assert len((out / "labels/decisions.jsonl").read_text().splitlines()) == 20


def test_the_oracle_gives_every_image_its_true_class(turn, tmp_path, monkeypatch):
    out = tmp_path / "factory"
    turn.first_half(out, smoke=True)
    overlay = turn.decisions(out, "labels", 20)
    with (out / "before/data.json").open() as file:
        assert json.load(file)
    recipe = load_recipe(out / "before/recipe.yaml")
    given = recipe.data.source.model_dump(exclude={"name", "overlay"})
    data = open_data("street_numbers", **given, overlay=str(overlay))
    looked = [source.startswith("human") for source in data.manifest.column("label_source")]
    true = data.manifest.column("true_label")
    assert (data.manifest.labels == true)[looked].all()
    assert not (data.manifest.labels == true).all()


def test_a_step_that_fails_stops_the_turn(turn, tmp_path):
    with pytest.raises(SystemExit) as stop:
        turn.call("audit", tmp_path / "nowhere", "--out", tmp_path / "audit")
    assert stop.value.code == 2


def test_the_tests_are_about_the_recipes_data(turn):
    suite = load_suite(turn.TESTS)
    assert suite.data is None
    data = load_recipe(turn.RECIPE).data.source
    assert data.name == "street_numbers"
    assert min(data.wrong_labels, data.dark_class, data.copies) > 0


@pytest.mark.slow
def test_a_whole_turn_mends_what_it_is_about(turn, tmp_path, monkeypatch):
    out = tmp_path / "factory"
    run(turn, out, monkeypatch)
    said = {}
    for name in ("before", "after"):
        (kept,) = (out / name).glob("data_tests/results/data_tests-*/*.json")
        results = json.loads(kept.read_text())["results"]
        said[name] = {each["name"]: each for each in results}
    before, after = said["before"], said["after"]
    broken = [test for test, result in before.items() if result["verdict"] == "FAIL"]
    assert {"everywhere", "by_night", "night_is_no_zero"} <= set(broken)
    assert not any(before[test]["within_noise"] for test in broken)
    assert after["night_is_no_zero"]["verdict"] == "PASS"
    # One training's accuracy has a standard deviation of two points, so some stay below the bound,
    # but none clearly.
    assert all(after[t]["verdict"] != "FAIL" or after[t]["within_noise"] for t in broken)
    gain = after["everywhere"]["measured"]["value"] - before["everywhere"]["measured"]["value"]
    assert gain > 0.1
    with (out / "audit/suspects.csv").open() as file:
        assert len(list(csv.reader(file))) > 100
    kinds = {
        each["kind"] for each in json.loads((out / "audit/audit.json").read_text())["findings"]
    }
    assert {"leak", "suspect", "shortcut"} <= kinds
