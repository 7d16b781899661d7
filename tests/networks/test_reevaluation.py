"""Networks measured again: the same numbers on the same data, and sense on other data."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.recipe_files import write_tiny
from tinyrefinery.cli.main import app
from tinyrefinery.errors import CheckpointError
from tinyrefinery.execution.execute import run
from tinyrefinery.networks.reevaluation import reevaluate
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.runs.plan import Job


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    path = write_tiny(folder)
    odd = load_recipe(path, ["data.mean=[0.1]", "data.std=[1.5]"])
    run([Job(load_recipe(path), "even"), Job(odd, "odd")], folder / "run")
    return folder / "run"


def test_nothing_changed_gives_the_written_numbers(finished):
    again = reevaluate(finished, ["data.workers=1"])
    written = {
        json.loads(p.read_text())["key"]: json.loads((p.parent / "evaluation.json").read_text())
        for p in finished.glob("stages/*/done.json")
    }
    assert len(written) == 4
    assert again.keys() == written.keys()
    for key, result in again.items():
        for split in ("train", "validation", "test"):
            for name in ("top1", "nll", "ece"):
                assert result[split][name] == pytest.approx(written[key][split][name], abs=1e-5)


def folder_of(place, names):
    rng = np.random.default_rng(0)
    for name in names:
        (place / name).mkdir(parents=True)
        for i in range(5):
            Image.fromarray(rng.integers(0, 255, (20, 20), dtype=np.uint8)).save(
                place / name / f"{i}.png"
            )
    return f"data.source={{name: folder, root: {place}, channels: 1}}"


def test_all_of_a_folder_is_measured_though_classes_are_missing(finished, tmp_path):
    source = folder_of(tmp_path / "week", ["3", "7"])
    for result in reevaluate(finished, [source]).values():
        assert result["test"]["n"] == 10
        assert "train" not in result


def test_a_class_that_no_network_knows(finished, tmp_path):
    source = folder_of(tmp_path / "week", ["3", "zebra"])
    with pytest.raises(CheckpointError, match="zebra"):
        reevaluate(finished, [source])


def test_named_data_is_opened_with_the_channels_of_the_network(finished, tmp_path):
    gray = folder_of(tmp_path / "week", ["3", "7"])
    color = gray.replace("channels: 1", "channels: 3")
    changed = reevaluate(finished, [color, "data.mean=null", "data.std=null"])
    for key, result in reevaluate(finished, [gray]).items():
        assert changed[key]["test"] == result["test"]


def test_the_command(finished, tmp_path):
    source = folder_of(tmp_path / "week", ["3", "7"])
    for extra in ([], [source]):
        done = CliRunner().invoke(app, ["evaluate", str(finished), *extra, "--categories"])
        assert done.exit_code == 0, done.output
        assert "top-1" in done.output
    done = CliRunner().invoke(app, ["evaluate", str(finished), "--split", "tset"])
    assert done.exit_code == 2
    assert "no stage was measured on the split 'tset'" in done.output
