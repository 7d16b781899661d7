"""The commands on a run folder: exit codes, files, messages."""

import json
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from tests.networks.onnx_files import exported
from tests.networks.runs import write_photos, write_run
from tinyrefinery.cli.main import app

PASS = "tests: {fine: {at_least: 0}}"
FAIL = "tests: {fine: {at_least: 0}, bad: {metric: errors, at_most: 0}}"
FEW = "tests: {few: {images: '0000.png', split: any, at_least: 0.5}}"
WRONG = "tests: {it: {where: lable = 'x', at_least: 0}, bad: {metric: errors, at_most: 0}}"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture
def run(tmp_path, photos):
    return write_run(tmp_path / "run", photos)


def call(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def write_tests(folder, text):
    path = folder / "data_tests.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "options", "code"),
    [
        (PASS, [], 0),
        (FAIL, [], 1),
        (FEW, [], 0),
        (FEW, ["--release"], 1),
        (WRONG, [], 2),
        ("tests: {it: {at_lest: 1}}", [], 2),
        ("data: nowhere\ntests: {it: {at_least: 1}}", [], 2),
        ("metadata: nowhere.csv\ntests: {it: {at_least: 1}}", [], 2),
    ],
)
def test_exit_codes(run, tmp_path, text, options, code):
    done = call("test", run, write_tests(tmp_path, text), *options)
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output


def test_no_such_run(tmp_path):
    done = call("test", tmp_path / "nowhere", write_tests(tmp_path, PASS))
    assert done.exit_code == 2
    assert "no such run folder" in done.output


def test_a_network_that_can_not_be_read(run, tmp_path):
    (file,) = run.glob("stages/refined-*/model.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    done = call("test", run, write_tests(tmp_path, PASS))
    assert done.exit_code == 2, done.output


def test_all_reports_at_once(run, tmp_path, photos):
    older = write_run(tmp_path / "older", photos)
    tests = write_tests(tmp_path, FAIL)
    assert call("test", older, tests).exit_code == 1
    out = {kind: tmp_path / f"out.{kind}" for kind in ("junit", "html", "json")}
    options = [part for kind, path in out.items() for part in (f"--{kind}", path)]
    done = call("test", run, tests, "--baseline", older, "--history", older, *options)
    assert done.exit_code == 1, done.output
    assert "run refined (seed 0) against older refined (seed 0)" in done.output
    assert ET.parse(out["junit"]).getroot().get("failures") == "1"
    found = json.loads(out["json"].read_text())
    assert [each["verdict"] for each in found["results"]] == ["PASS", "FAIL"]
    kept = next(run.glob("data_tests/results/data_tests-*/*.json"))
    assert json.loads(kept.read_text())["results"] == found["results"]
    html = out["html"].read_text()
    assert html.count("<polyline") == 2
    assert html.count('<figure class="picture">') > 5
    assert "older refined (seed 0)" in html


def test_classes_that_pass_are_one_line_unless_all_are_asked_for(run, tmp_path, monkeypatch):
    monkeypatch.setattr("tinyrefinery.data_tests.reports.folding.FEW", 1)
    tests = write_tests(tmp_path, "tests: {each: {metric: recall(*), at_least: 0, min_n: 1}}")
    out = tmp_path / "out.json"
    short, long = call("test", run, tests, "--json", out), call("test", run, tests, "--all")
    assert (short.output.count("each["), long.output.count("each[")) == (1, 2)
    assert "weakest of 2 that pass" in short.output
    assert len(json.loads(out.read_text())["results"]) == 2


def test_a_path_with_colons_is_printed_as_it_is(run, tmp_path):
    tests = write_tests(tmp_path, "tests: {a: {list: l.txt, at_least: 0}}")
    (tmp_path / "l.txt").write_text("some:x:one.png\n")
    assert "'some:x:one.png'" in call("test", run, tests).output


def test_a_stage_against_another_of_the_same_run(run, tmp_path):
    tests = write_tests(tmp_path, PASS)
    done = call("test", run, tests, "--baseline-stage", "plain")
    assert "run refined (seed 0) against run plain (seed 0)" in done.output
    done = call("test", run, tests, "--stage", "plain", "--baseline", run)
    assert "run plain (seed 0) against run refined (seed 0)" in done.output


def test_history_over_runs(run, tmp_path, photos):
    tests, older = write_tests(tmp_path, FAIL), write_run(tmp_path / "older", photos)
    done = call("history", "bad", older, run, "--tests", tests)
    assert done.exit_code == 2
    assert "has no results of data_tests.yaml; run `tinyrefinery test` first" in done.output
    for each in (older, run):
        call("test", each, tests)
    done = call("history", "bad", older, run, "--tests", tests)
    assert done.exit_code == 0, done.output
    assert done.output.index("older refined") < done.output.index("run refined")
    done = call("history", "bda", run, "--tests", tests)
    assert "Did you mean 'bad'" in done.output


def test_a_wrong_stage_or_seed_is_wrong_use(run, tmp_path):
    tests = write_tests(tmp_path, PASS)
    for options in (["--stage", "refind"], ["--seed", "7"], ["--baseline-stage", "none"]):
        done = call("test", run, tests, *options)
        assert done.exit_code == 2, done.output
    assert "Did you mean 'refined'" in call("test", run, tests, "--stage", "refind").output


def test_files_of_tests_with_one_name_have_histories_of_their_own(run, tmp_path):
    for name, text in (("a", "tests: {fine: {at_least: 0}}"), ("b", FAIL)):
        (tmp_path / name).mkdir()
        call("test", run, write_tests(tmp_path / name, text))
    done = call("history", "bad", run, "--tests", tmp_path / "a" / "data_tests.yaml")
    assert "no test 'bad'" in done.output
    done = call("history", "bad", run, "--tests", tmp_path / "b" / "data_tests.yaml")
    assert done.exit_code == 0, done.output


def test_an_onnx_file_stands_wherever_a_run_does(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tests = write_tests(tmp_path, f"{FAIL[:-1]}, kept: {{max_regression: 0.9}}}}")
    file = tmp_path / "shipped.onnx"
    file.write_bytes(exported("shipped")[1])
    done = call("test", file, tests)
    assert done.exit_code == 2
    assert "--like" in done.output
    done = call("test", file, tests, "--like", run, "--baseline", run, "--html", "out.html")
    assert done.exit_code == 1, done.output
    assert "shipped.onnx against run refined (seed 0)" in done.output
    assert 'class="picture"' in (tmp_path / "out.html").read_text()
    assert call("history", "bad", file, "--tests", tests, "--like", run).exit_code == 0
    done = call("compare", run, file, "--tests", tests, "--like", run)
    assert done.exit_code == 0, done.output
    done = call("saliency", file, "--like", run, "--manifest-row", "3")
    assert done.exit_code == 0, done.output
    done = call("saliency", file, "--like", run, "--manifest-row", "3", "--method", "gradient")
    assert "no gradients" in done.output
    done = call("mine", file, "--like", run, "--tests", tests, "--budget", "5")
    assert done.exit_code == 0, done.output
    done = call("audit", run, "--model", file, "--like", run, "--out", "audit")
    assert done.exit_code in (0, 1), done.output
    done = call("audit", run, "--model", file, "--out", "audit")
    assert (done.exit_code, "--like" in done.output) == (2, True)


def test_compare(run, tmp_path, photos):
    other = write_run(tmp_path / "other", photos)
    tests = write_tests(tmp_path, PASS)
    done = call("compare", run, other, run, "--tests", tests)
    assert done.exit_code == 0, done.output
    assert "fine" in done.output
    assert "(+0.000)" in done.output


def test_compare_folds_classes_as_test_does(run, tmp_path, photos, monkeypatch):
    monkeypatch.setattr("tinyrefinery.data_tests.reports.folding.FEW", 1)
    other = write_run(tmp_path / "other", photos)
    tests = write_tests(tmp_path, "tests: {each: {metric: recall(*), at_least: 0, min_n: 1}}")
    page = tmp_path / "out.html"
    for options, count in ([], 1), (["--all"], 2):
        done = call("compare", run, run, "--tests", tests, "--html", page, *options)
        assert done.exit_code == 0, done.output
        told = " ".join(done.output.split())
        assert done.output.count("each[") == count
        assert ("weakest of 2 that pass in each network" in told) == (count == 1)
        assert ("has a line with --all" in told) == (count == 1)
        assert "No verdict of 2 tests changed" in told
        assert page.read_text().count('<th scope="row">') == count
    assert call("compare", run, other, "--tests", tests).exit_code == 0


def test_suggest(run, tmp_path):
    text = "defaults: {min_n: 20}\ntests: {fine: {at_least: 0}}"
    done = call("test", run, write_tests(tmp_path, text), "--suggest")
    assert done.exit_code == 0
    assert done.output.startswith("# ")


def test_init(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call("init").exit_code == 0
    assert (tmp_path / "data_tests.yaml").exists()
    again = call("init", "--template", "person")
    assert again.exit_code == 2
    assert "is there already" in again.output
    assert call("init", "--template", "person", "--force").exit_code == 0
    assert "distance_m" in (tmp_path / "data_tests.yaml").read_text()
    assert "Did you mean 'person'" in call("init", "x.yaml", "--template", "persn").output


def test_the_template_runs_on_a_run(run, tmp_path):
    path = tmp_path / "data_tests.yaml"
    call("init", path, "--template", "person")
    done = call("test", run, path)
    assert done.exit_code == 2  # columns that these photos don't have
    assert "person_standing_back" in done.output
    assert "no column 'contains'" in done.output
