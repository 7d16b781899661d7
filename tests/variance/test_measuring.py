"""The variances of runs and of files, and the command that prints them."""

import csv
import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.recipe_files import write_tiny
from tinyrefinery.cli.main import app
from tinyrefinery.data.batches import View
from tinyrefinery.data.open import open_data
from tinyrefinery.errors import DataError
from tinyrefinery.execution.execute import run
from tinyrefinery.models.network_file import load_network
from tinyrefinery.options.crops import Center
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.runs.plan import Job
from tinyrefinery.variance.measure_variances import Question, measure


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("variance")
    path = write_tiny(folder)
    bias = load_recipe(path, ["stages.refined.loss={name: bias}", "stages.plain.epochs=1"])
    run([Job(load_recipe(path), "kl"), Job(bias, "bias")], folder / "run")
    return folder / "run"


def file_of(finished):
    (file,) = (
        path
        for path in finished.glob("stages/plain-*/model.safetensors")
        if json.loads((path.parent / "stage.json").read_text())["rows"] == ["kl"]
    )
    return file


def test_equals_the_feature_maps_of_the_files(finished):
    found = measure([finished])
    assert [each.network for each in found] == [
        "bias plain",
        "bias refined",
        "kl plain",
        "kl refined",
    ]
    assert {each.layer for each in found} == {"features"}
    source = load_recipe(finished / "recipe.yaml").data.source.model_dump(exclude={"name"})
    data = open_data("street_numbers", **source)
    rows = data.manifest.rows("test")
    (place,) = [
        path
        for path in finished.glob("stages/refined-*")
        if json.loads((path / "stage.json").read_text())["rows"] == ["bias"]
    ]
    network, info = load_network(place / "model.safetensors")
    view = View(data, Center(size=16), 0, info.mean, info.std)
    with torch.inference_mode():
        maps = network.forward_features(view.render(rows, 0).images)
    expected = [each.double().numpy().var(ddof=1) for each in maps]
    np.testing.assert_allclose(found[1].values, expected, rtol=1e-5)
    assert found[1].seed == 0
    assert found[1].rows.tolist() == rows.tolist()


def test_a_file_of_a_run_knows_its_data(finished):
    (found,) = measure([file_of(finished)], question=Question(limit=10, split="train"))
    assert len(found.values) == 10
    assert found.network == "kl plain"


def test_a_file_by_itself_needs_a_recipe(finished, tmp_path):
    alone = tmp_path / "somewhere" / "network.safetensors"
    alone.parent.mkdir()
    alone.write_bytes(file_of(finished).read_bytes())
    with pytest.raises(DataError, match=r"not in a run folder.*--recipe"):
        measure([alone])
    (found,) = measure([alone], recipe=finished / "recipe.yaml")
    (same,) = measure([file_of(finished)])
    np.testing.assert_array_equal(found.values, same.values)


def test_untrained_networks_are_others(finished):
    found = measure([file_of(finished)], question=Question(untrained=True))
    trained, untrained = found
    assert untrained.network == f"{trained.network} (untrained)"
    assert not np.allclose(trained.values, untrained.values)
    again = measure([file_of(finished)], question=Question(untrained=True))[1]
    np.testing.assert_array_equal(untrained.values, again.values)


def test_what_cant_be_measured(finished, tmp_path):
    with pytest.raises(DataError, match="no such run folder or network file"):
        measure([tmp_path / "nothing"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no run folder"):
        measure([tmp_path / "empty"])
    with pytest.raises(DataError, match=r"no images in the split .tset.\. It has train"):
        measure([finished], question=Question(split="tset"))


def test_the_command(finished, tmp_path):
    out = tmp_path / "out"
    words = [str(finished), "data.source.noise=0.1", "--layer", "features", "--layer", "fc"]
    words += ["--out", str(out), "--images", "3", "--untrained", "--limit", "12"]
    done = CliRunner().invoke(app, ["variance", *words], env={"COLUMNS": "120"})
    assert done.exit_code == 0, done.output
    assert "average" in done.output
    assert "kl plain (untrained)" in done.output
    facts = json.loads((out / "variances.json").read_text())
    assert len(facts) == 4 * 2 * 2
    with (out / "variances.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16 * 12
    mine = [r for r in rows if (r["network"], r["layer"]) == ("kl plain", "fc")]
    (fact,) = [f for f in facts if (f["network"], f["layer"]) == ("kl plain", "fc")]
    assert np.mean([float(r["variance"]) for r in mine]) == pytest.approx(fact["mean"], rel=1e-6)
    assert max(float(r["variance"]) for r in mine) == pytest.approx(fact["max"], rel=1e-6)
    pictures = {path.stem for path in out.glob("*.png")}
    assert "distribution" in pictures
    assert len(pictures) == 17


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.source.noise=0.1"], "name at least one run folder"),
        (["runs/nothing"], "there is no such run folder"),
    ],
)
def test_what_the_command_says(words, message):
    done = CliRunner().invoke(app, ["variance", *words])
    assert done.exit_code == 2
    assert message in done.output


def test_weights_of_the_readings(finished, tmp_path):
    """A row a network and reading, of whole batches of 128; too few images are told."""
    command = ["variance", str(file_of(finished)), "--recipe", str(finished / "recipe.yaml")]
    command += ["data.source.test=140", "--weights", "--images", "0"]
    done = CliRunner().invoke(app, [*command, "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    with (tmp_path / "weights.csv").open() as file:
        lines = {line["reading"]: line for line in csv.DictReader(file)}
    assert list(lines) == ["paper", "variances", "running_minimum", "checkpoints"]
    assert {line["n"] for line in lines.values()} == {"128"}
    assert float(lines["variances"]["greatest"]) == pytest.approx(np.exp(0.3) - 0.3, abs=1e-5)
    assert float(lines["checkpoints"]["least"]) == pytest.approx(0.3, abs=1e-5)
    assert (tmp_path / "weights.svg").exists()
    done = CliRunner().invoke(app, [*command, "--limit", "100"])
    assert done.exit_code != 0
    assert "batch of 128 images, but there are 100" in " ".join(done.output.split())
