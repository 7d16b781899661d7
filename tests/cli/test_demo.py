"""The demo: a chain on the embedded data, its best network as a checked int8 file, one page."""

import json
import sys
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from tests.deploy.export.conftest import converter  # noqa: F401  a fixture
from tests.recipe_files import TINY, write_tiny
from tinyrefinery.cli import demo
from tinyrefinery.cli.main import app
from tinyrefinery.device import tool_environment
from tinyrefinery.errors import BudgetError
from tinyrefinery.fitting.ship_run import best_within
from tinyrefinery.options.budget import Budget
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.shipped import locate

SMALL = TINY.replace("train: 96", "train: 200").replace(
    "chain: {", "seed: 3\nchain: {stop_without_gain: false, "
)
LINES, COLUMNS = 25, 80


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder where a small demo has been trained, but not shipped."""
    folder = tmp_path_factory.mktemp("home")
    write_tiny(folder, SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(demo, "RECIPE", "tiny.yaml")
        patch.setattr(demo, "finish", lambda run: None)
        result = CliRunner().invoke(app, ["demo", "--seeds", "2"])
    assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture
def shown(home, monkeypatch):
    """Runs the demo again and returns what it prints: nothing is trained."""
    monkeypatch.chdir(home)
    monkeypatch.setattr(demo, "RECIPE", "tiny.yaml")
    monkeypatch.setenv("COLUMNS", str(COLUMNS))

    def call() -> str:
        result = CliRunner().invoke(app, ["demo", "--seeds", "2"])
        assert result.exit_code == 0, result.output
        lines = result.stdout.splitlines()
        assert len(lines) <= LINES
        assert max(map(len, lines)) <= COLUMNS
        return result.stdout

    return call


def value(text, label):
    """What a screen has beside a word."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"{label} ")]
    return line.removeprefix(label).strip()


def test_an_int8_file_ships_with_its_proof(home, shown, converter):  # noqa: F811
    text = shown()
    artifact = home / value(text, "File")
    assert artifact.suffix == ".tflite"
    assert value(text, "Flash") == f"{artifact.stat().st_size:,} of 100,000 bytes of flash"
    record = json.loads(artifact.with_name(f"{artifact.name}.json").read_text())
    arena = record["cost"]["arena"]
    assert value(text, "RAM").startswith(f"{arena['head'] + arena['tail']:,} of 64,000 bytes")
    assert "of 40 test pictures are right (95 % interval" in value(text, "Accuracy")
    assert value(text, "Refining").startswith("refined over plain: ")
    assert ", n = 2: " in value(text, "Refining")
    assert "test vectors predict the same" in value(text, "Verified")
    page = (home / value(text, "Page")).read_text()
    for part in ("What ships", "refined over plain", "Label KL", artifact.name, "report.html"):
        assert part in page
    assert "--hours" not in page
    assert (home / "runs/demo/report.html").exists()


def test_without_the_converter_it_ships_onnx_and_downloads_nothing(
    home, shown, monkeypatch, tmp_path
):
    monkeypatch.setenv("TINYREFINERY_CACHE", str(tmp_path))
    monkeypatch.setattr(tool_environment, "_make", lambda *_: pytest.fail("a download"))
    text = shown()
    assert (home / value(text, "File")).suffix == ".onnx"
    assert "not known" in value(text, "RAM")
    assert "only an ONNX artifact is written" in value(text, "Note")
    assert tool_environment.SET_UP in text.replace("\n          ", " ")


def test_without_any_exporter_the_training_is_shown(home, shown, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    text = shown()
    assert value(text, "File").startswith("none.")
    assert "tinyrefinery[onnx,litert]" in text
    assert (home / value(text, "Page")).name == "report.html"
    assert value(text, "Refining")


def stage(name, validation, test, parameters=50_000):
    evaluation = {
        "validation": {"top1": validation},
        "test": {"top1": test},
        "cost": {"parameters": parameters, "macs": 1_000_000},
    }
    return SimpleNamespace(stage=name, evaluation=evaluation)


def run_of(*stages):
    return SimpleNamespace(path="runs/demo", stages=stages)


def test_the_network_is_chosen_on_the_validation_pictures():
    run = run_of(stage("a", 0.7, 0.6), stage("b", 0.6, 0.7))
    assert best_within(run, Budget(flash=100_000)).stage == "a"


@pytest.mark.parametrize("limits", [{"flash": 100_000}, {"macs": 999_999}])
def test_what_can_not_fit_is_left_out(limits):
    run = run_of(stage("large", 0.9, 0.9, 100_001))
    with pytest.raises(BudgetError, match=r"runs/demo: no network may fit (flash|macs)"):
        best_within(run, Budget(**limits))


def test_a_larger_network_does_not_ship():
    run = run_of(stage("large", 0.9, 0.9, 100_001), stage("small", 0.5, 0.5))
    assert best_within(run, Budget(flash=100_000)).stage == "small"


def test_the_recipe_measures_what_refining_does():
    """It has given labels, refined ones and a larger refiner, of which only one may ship."""
    stages = {stage.id: stage for stage in load_recipe(locate(demo.RECIPE)).stages}
    small = {stages[name].model.kwargs["width"] for name in ("plain", "refined", "self_refined")}
    assert len(small) == 1
    assert stages["refiner"].model.kwargs["width"] > small.pop()
    assert stages["refined"].labels.by == ("refiner",)
