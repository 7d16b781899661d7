"""The whole way from networks to a verdict, and its numbers against the refiner's own labels."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import timm
import torch
from scipy.stats import entropy
from typer.testing import CliRunner

from tinyrefinery import builders, models
from tinyrefinery.cli.main import app
from tinyrefinery.errors import CheckpointError, DataError
from tinyrefinery.evaluation.label_quality import FLOOR
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.models.network_file import load_network
from tinyrefinery.networks.opening import open_networks
from tinyrefinery.options.labels import Refining
from tinyrefinery.refiners.assessment import HumanFile, Options, assess, unseen_generation
from tinyrefinery.refiners.compared_networks import recipe_for


@pytest.fixture(scope="module")
def assessment(finished):
    targets = open_networks([str(finished)])
    return assess(targets, recipe_for(targets, None, []), Options(crops=3, batch_norm="running"))


def test_numbers_are_those_of_the_labels(finished, assessment):
    recipe = recipe_for(open_networks([str(finished)]), None, [])
    data = builders.dataset(recipe.data)
    net, _ = load_network(next(finished.glob("stages/plain-*/model.safetensors")))
    refiner = Refiner([net], Refining(batch_norm="running"))
    view = builders.train_view(recipe, data, unseen_generation(recipe), torch.device("cpu"))
    measures = assessment.measured["plain (seed 0)"].measures
    for split, name in (("train", "train_crops"), ("validation", "validation_crops")):
        rows = data.manifest.rows(split)
        said = np.stack([refiner(view.render(rows, i).images).numpy() for i in range(3)])
        right = said.argmax(axis=2) == data.manifest.labels[rows]
        assert measures[name]["top1"] == pytest.approx(right.mean())
        assert measures[name]["entropy"] == pytest.approx(entropy(said, axis=2).mean(), abs=1e-5)
        if split == "train":
            truth = np.stack([view.truth(rows, i) for i in range(3)])
            mixed = (1 - FLOOR) * said.astype(np.float64) + FLOOR / 10
            kl = entropy(truth, mixed, axis=2).mean()
            assert measures["crop_truth"]["labels"]["kl"] == pytest.approx(kl, abs=1e-6)
    gap = measures["train_crops"]["top1"] - measures["validation_crops"]["top1"]
    assert measures["gap"]["top1"] == pytest.approx(gap)
    assert measures["movement"].keys() == {"batch", "calibrated"}  # running has no mates
    written = json.loads(next(finished.glob("stages/plain-*/evaluation.json")).read_text())
    assert measures["validation"]["top1"] == pytest.approx(written["validation"]["top1"])
    assert measures["validation"]["nll"] == pytest.approx(written["validation"]["nll"], abs=1e-5)


def test_it_is_plain_data_and_ranked_by_truth(assessment):
    found = assessment.as_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["ranking"]["basis"] == "true crop labels"
    kls = [each["score"] for each in found["ranking"]["places"]]
    assert kls == sorted(kls)
    assert [each["verdict"] for each in found["refiners"]] == [
        assessment.verdict(each["name"]).grade for each in found["refiners"]
    ]


def test_networks_that_do_not_fit(finished):
    targets = open_networks([str(finished)])
    with pytest.raises(CheckpointError, match="same classes"):
        assess(targets, recipe_for(targets, None, ["data.source.digits=2"]), Options())
    with pytest.raises(DataError, match="validation split has 0 images"):
        assess(targets, recipe_for(targets, None, ["data.source.validation=0"]), Options())


def votes(finished, folder):
    recipe = recipe_for(open_networks([str(finished)]), None, [])
    manifest = builders.dataset(recipe.data).manifest
    rows = manifest.rows("test")
    counts = 9 * np.eye(10, dtype=int)[manifest.labels[rows]] + 1
    table = pa.table({"path": manifest.column("path")[rows].tolist(), "votes": counts.tolist()})
    pq.write_table(table, folder / "votes.parquet")
    return folder / "votes.parquet", len(rows)


def test_people(finished, tmp_path):
    path, n = votes(finished, tmp_path)
    targets = open_networks([str(finished)], stages=["plain"])
    options = Options(crops=2, images=32, human=HumanFile(path))
    found = assess(targets, recipe_for(targets, None, []), options).as_json()
    (one,) = found["refiners"]
    assert one["human"].keys() == {"test"}
    assert one["human"]["test"]["labels"]["n"] == n
    people = np.full(10, 1 / 19)
    people[0] = 10 / 19
    given = (1 - FLOOR) * np.eye(10)[0] + FLOOR / 10
    assert one["human"]["test"]["given"]["kl"] == pytest.approx(entropy(people, given))


def test_the_command(finished, tmp_path):
    out = tmp_path / "refiners.json"
    words = ["refiner", str(finished), "--crops", "2", "--images", "64", "--out", str(out)]
    done = CliRunner().invoke(app, [*words, "data.source.noise=0.1"])
    assert done.exit_code == 0, done.output
    for text in ("verdict", "Ranking:", "plain (seed 0): ", "a rule, not a forecast", "Written:"):
        assert text in done.output
    assert len(json.loads(out.read_text())["refiners"]) == 2
    assert max(len(line) for line in done.output.splitlines()[:8]) <= 80
    done = CliRunner().invoke(app, ["refiner", "timm:resnet10t"])
    assert done.exit_code == 2
    assert "on which data" in done.output


def test_verdicts_for_a_student(finished, tmp_path):
    out = tmp_path / "refiners.json"
    words = ["refiner", str(finished), "--crops", "2", "--images", "64", "--out", str(out)]
    done = CliRunner().invoke(app, [*words, "--student", "plain"])
    assert done.exit_code == 0, done.output
    assert "name it with --student" not in done.output
    found = json.loads(out.read_text())
    assert found["on"]["student"] == "plain (seed 0)"
    entries = {each["name"]: each for each in found["refiners"]}
    itself = [r["grade"] for r in entries["plain (seed 0)"]["reasons"] if "student" in r["what"]]
    assert itself == ["with care"]
    (file,) = finished.glob("stages/plain-*/model.safetensors")
    alone = ["refiner", str(finished), "--stage", "refined", *words[2:]]
    done = CliRunner().invoke(app, [*alone, "--student", str(file)])
    assert done.exit_code == 0, done.output
    found = json.loads(out.read_text())
    (entry,) = found["refiners"]  # a student isn't ranked
    assert [each["what"] for each in entry["reasons"] if "student" in each["what"]] == [
        each["what"] for each in entries["refined (seed 0)"]["reasons"] if "student" in each["what"]
    ]
    done = CliRunner().invoke(app, [*words, "--student", "nobody"])
    assert done.exit_code == 2
    assert "nobody" in done.output


def test_timm(finished, monkeypatch):
    """A pretrained model by name, without its weights: what is measured is another question."""
    create = models.create
    monkeypatch.setattr(
        "tinyrefinery.models.create",
        lambda *a, pretrained=False, **k: create(*a, **k),
    )

    known = timm.get_pretrained_cfg("resnet10t")
    ten = replace(known, num_classes=10, mean=(0.5,), std=(0.5,))
    monkeypatch.setattr("timm.get_pretrained_cfg", lambda name: ten)
    targets = open_networks(["timm:resnet10t"])
    recipe = recipe_for(open_networks([str(finished)]), None, ["data.train_crop.size=32"])
    found = assess(targets, recipe, Options(images=16, crops=2)).as_json()
    (one,) = found["refiners"]
    assert one["verdict"] == "poor"
    assert "no better than guessing" in one["reasons"][0]["what"]
    monkeypatch.setattr("timm.get_pretrained_cfg", lambda name: known)
    targets = open_networks(["timm:resnet10t"])
    with pytest.raises(CheckpointError, match="pretrained for 1000 classes"):
        assess(targets, recipe, Options(images=16, crops=2))
