"""Verdicts beside gains: which networks are compared, and that nothing is lost on the way."""

import json

import numpy as np
import pytest
from scipy.stats import spearmanr
from typer.testing import CliRunner

from tests.recipe_files import TINY, write_tiny
from tinyrefinery.cli.main import app
from tinyrefinery.errors import DataError
from tinyrefinery.execution.execute import run
from tinyrefinery.files import read_csv
from tinyrefinery.networks.opening import open_networks
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.refiners.assessment import Options, assess
from tinyrefinery.refiners.gains import gain_lines, student_gains
from tinyrefinery.refiners.gains_report import (
    MEASURES,
    correlation_with_gain,
    correlations_by_seed,
    pairs_by_gain,
)
from tinyrefinery.runs.plan import Job

OTHERS = """
  - &other
    id: small
    model: {name: street_cnn, kwargs: {widths: [3, 6]}}
    optimizer: {name: sgd, lr: 0.05}
    schedule: {name: cosine}
    epochs: 1
    batch_size: 16
  - {<<: *other, id: wide, model: {name: street_cnn, kwargs: {widths: [8, 8]}}}
  - {<<: *other, id: by_small, model: {name: street_cnn, kwargs: {widths: [4, 8]}}, labels: {name: refined, by: small}}
  - {<<: *other, id: by_wide, model: {name: street_cnn, kwargs: {widths: [4, 8]}}, labels: {name: refined, by: wide}}
engine:"""  # noqa: E501


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """Three refiners of one student, two seeds."""
    folder = tmp_path_factory.mktemp("gains")
    recipe = load_recipe(write_tiny(folder, TINY.replace("\nengine:", OTHERS)))
    jobs = [Job(recipe.model_copy(update={"seed": seed})) for seed in (0, 1)]
    run(jobs, folder / "run")
    return folder / "run"


def evaluation(folder, stage, seed):
    for each in sorted(folder.glob(f"stages/{stage}-*/stage.json")):
        if json.loads(each.read_text())["seed"] == seed:
            return json.loads((each.parent / "evaluation.json").read_text())
    raise AssertionError(stage)


def test_the_command(several):
    done = CliRunner().invoke(
        app, ["refiner-gains", str(several), "--images", "40", "--crops", "2"]
    )
    assert done.exit_code == 0, done.output
    for text in ("wide > by_wide", "correlation", "measure of the refiner", "Written:"):
        assert text in done.output
    lines = read_csv(several / "refiner-gains.csv")
    assert [(each["refiner"], each["student"]) for each in lines if each["seed"] == "1"] == [
        ("plain", "refined"),
        ("small", "by_small"),
        ("wide", "by_wide"),
    ]
    for each in lines:
        top1 = [
            evaluation(several, each[name], int(each["seed"]))["test"]["top1"]
            for name in ("student", "plain")
        ]
        assert each["plain"] == "plain"
        own = [float(e["unseen_top1"]) for e in lines if e["refiner"] == "plain"]
        over = float(each["unseen_top1"]) - own[int(each["seed"])]
        assert float(each["ahead"]) == pytest.approx(over, abs=1e-9)
        assert float(each["gain"]) == pytest.approx(top1[0] - top1[1])
    means = {name: [] for name in ("small > by_small", "wide > by_wide", "plain > refined")}
    for name in means:
        refiner = name.split(" > ")[0]
        mine = [each for each in lines if each["refiner"] == refiner]
        means[name] = [np.mean([float(e[c]) for e in mine]) for c in ("unseen_nll", "gain")]
    assert pairs_by_gain(lines) == sorted(means, key=lambda name: -means[name][1])
    nll, gain = zip(*means.values(), strict=True)
    found = correlation_with_gain(lines, "unseen_nll")
    assert found.rho == pytest.approx(-spearmanr(nll, gain).statistic)  # less is better
    assert len(correlations_by_seed(lines, "unseen_nll")) <= 2
    assert set(MEASURES) <= set(lines[0])


def test_measures_are_those_of_refiner(several):
    recipe = load_recipe(several / "recipe.yaml")
    options = Options(images=40, crops=2)
    lines = [each for each in gain_lines(several, recipe, options) if each["seed"] == 1]
    targets = open_networks([str(several)], stages=["plain", "small", "wide"], seeds=[1])
    assessed = assess(targets, recipe.model_copy(update={"seed": 1}), options)
    found = assessed.as_json()
    for each in found["refiners"]:
        (line,) = [e for e in lines if each["name"].startswith(e["refiner"])]
        assert line["unseen_top1"] == each["validation_crops"]["top1"]
        assert line["truth_kl"] == each["crop_truth"]["labels"]["kl"]
        assert line["verdict"] == assessed.verdict(each["name"], "plain (seed 1)").grade
        t, v = each["train_crops"]["top1"], each["validation_crops"]["top1"]
        assert line["unseen_less_gap"] == pytest.approx(v - (t - v))


def test_what_gains_are_measured_against(several, finished):
    taught = student_gains(several, plain="small")
    assert {each.plain.stage for each in taught} == {"small"}
    assert {(each.plain.seed, each.student.seed) for each in taught} == {(0, 0), (1, 1)}
    with pytest.raises(DataError, match=r"can't choose the stage.*--plain STAGE"):
        student_gains(several, plain="nothing")
    assert [each.refiner.stage for each in student_gains(finished)] == ["plain"]


def test_a_run_without_students(tmp_path):
    recipe = load_recipe(write_tiny(tmp_path))
    run([Job(recipe.model_copy(update={"stages": recipe.stages[:1]}))], tmp_path / "run")
    done = CliRunner().invoke(app, ["refiner-gains", str(tmp_path / "run")])
    assert done.exit_code == 2
    assert "no finished stage learned from another" in done.output
    done = CliRunner().invoke(app, ["refiner-gains", str(tmp_path / "nothing")])
    assert done.exit_code == 2
    assert "no run folder" in done.output


def test_rows_of_a_table_stay_apart():
    """Two rows train the same stage with other labels: they are two students."""
    both = {"refiner": "large", "student": "small", "seed": 0}
    lines = [{**both, "row": "soft", "gain": 0.1}, {**both, "row": "hard", "gain": 0.3}]
    assert pairs_by_gain(lines) == ["large > small (hard)", "large > small (soft)"]


def test_rows_are_named_where_they_tell_students_apart(tmp_path):
    path = tmp_path / "table.yaml"
    recipe = write_tiny(tmp_path)
    path.write_text(
        f"""
title: two kinds of labels
recipe: {recipe.name}
seeds: 1
rows:
  - {{id: soft, stage: refined}}
  - {{id: hard, stage: refined, set: [stages.refined.labels.hard=true]}}
"""
    )
    words = ["reproduce", str(path), "--name", "two", "--runs", str(tmp_path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    options = Options(images=40, crops=2)
    lines = list(gain_lines(tmp_path / "two", load_recipe(recipe), options))
    assert {each["row"] for each in lines} == {"soft", "hard"}
