"""The grid of labels: every kind once, with the numbers of the labels themselves."""

import re

import numpy as np
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from tests.refiners.test_assessment import votes
from tinyrefinery import builders
from tinyrefinery.cli.main import app
from tinyrefinery.errors import DataError
from tinyrefinery.evaluation.label_quality import label_quality
from tinyrefinery.files import read_csv
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.models.network_file import load_network
from tinyrefinery.networks.opening import open_networks
from tinyrefinery.options.labels import Refining
from tinyrefinery.refiners.assessment import HumanFile, unseen_generation
from tinyrefinery.refiners.compared_networks import recipe_for
from tinyrefinery.refiners.label_grid import Grid, label_lines
from tinyrefinery.refiners.label_report import COLUMNS, over_seeds, quality_table


@pytest.fixture(scope="module")
def lines(finished):
    targets = open_networks([str(finished)], seeds="all")
    return list(label_lines(targets, recipe_for(targets, None, []), Grid(bn_groups=(8, 200, 300))))


def test_every_kind_once(lines):
    keys = [
        tuple(each.get(name) for name in ("stage", "batch_norm", "bn_group", "level", "form"))
        for each in lines
    ]
    assert len(set(keys)) == len(keys) == 4 + 2 * 4 * 3 * 2
    assert all(set(each) <= set(COLUMNS) for each in lines)
    assert {each["n"] for each in lines} == {96}
    # A group larger than the images there are is told as what it was.
    assert {each["bn_group"] for each in lines if each.get("bn_group")} == {8, 96}


def test_numbers_are_those_of_the_labels(finished, lines):
    recipe = recipe_for(open_networks([str(finished)]), None, [])
    data = builders.dataset(recipe.data)
    view = builders.train_view(recipe, data, unseen_generation(recipe), torch.device("cpu"))
    rows = data.manifest.rows("train")
    truth = view.truth(rows, 0)
    net, _ = load_network(next(finished.glob("stages/refined-*/model.safetensors")))
    soft = Refiner([net], Refining(batch_norm="running"))(view.render(rows, 0).images).numpy()
    hard = np.eye(10)[soft.argmax(axis=1)]
    which = {"stage": "refined", "batch_norm": "running", "level": "crop"}
    for form, labels in (("soft", soft), ("hard", hard)):
        found = over_seeds(lines, "kl", **which, form=form)
        assert found.mean == pytest.approx(label_quality(labels, truth)["kl"], abs=1e-6)
        assert found.n == 1
    given = np.eye(10)[data.manifest.labels[rows]]
    found = over_seeds(lines, "cross_entropy", stage="smoothing 0.1")
    expected = label_quality(0.9 * given + 0.01, truth)["cross_entropy"]
    assert found.mean == pytest.approx(expected)


def test_the_command_with_people(finished, tmp_path):
    path, n = votes(finished, tmp_path)
    out = tmp_path / "quality.csv"
    words = ["label-quality", str(finished), "--stage", "plain", "--bn-group", "16"]
    done = CliRunner().invoke(app, [*words, "--human", str(path), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "to true crop labels in nats" in done.output
    assert "to human labels in nats" in done.output
    kept = read_csv(out)
    assert {each["basis"] for each in kept} == {"true crop labels", "human labels"}
    assert {each["n"] for each in kept if each["basis"] == "human labels"} == {str(n)}
    assert over_seeds(kept, basis="human labels", stage="given labels").n == 1
    done = CliRunner().invoke(app, [*words, "--human", str(path), "--split", "train"])
    assert done.exit_code == 2
    assert "no line matches an image" in done.output


def test_nothing_to_compare_with(finished, monkeypatch):
    targets = open_networks([str(finished)])
    recipe = recipe_for(targets, None, [])
    data = builders.dataset(recipe.data)
    object.__setattr__(data, "truth", None)
    monkeypatch.setattr("tinyrefinery.builders.dataset", lambda _: data)
    with pytest.raises(DataError, match="give a file of human labels"):
        next(label_lines(targets, recipe, Grid()))
    nobody = Grid(human=HumanFile(finished / "none.parquet"))
    with pytest.raises(DataError, match="can't read the human labels"):
        next(label_lines(targets, recipe, nobody))


def test_stages_of_one_name_in_two_runs_are_told_apart():
    common = {"basis": "human labels", "split": "test", "stage": "plain", "seed": 0}
    way = {"batch_norm": "running", "level": "crop", "form": "soft"}
    lines = [{**common, **way, "run": run, "kl": kl} for run, kl in (("one", 0.25), ("two", 0.75))]
    console = Console(width=80, record=True)
    console.print(quality_table(lines, "human labels"))
    text = console.export_text()
    assert re.search(r"one plain +running +0\.25", text)
    assert re.search(r"two plain +running +0\.75", text)
