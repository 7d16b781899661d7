"""Detectors that start from a recipe, and tables of detectors."""

import csv

import numpy as np
import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from tests.detection.tiny_detector import TINY, run_detection, tiny
from tests.recipe_files import is_detector_table, write_tiny
from tinyrefinery.cli.main import app
from tinyrefinery.errors import RecipeError
from tinyrefinery.runs.run_folder import open_run

pytest.importorskip("pycocotools")

BACKBONE = "detector.backbone={name: street_cnn, kwargs: {widths: [4, 8]}}"
GREY = "detector.backbone.start=[data.source.channels=3, stages.refined.epochs=1]"

TABLE = """
title: two backbones
recipe: detector.yaml
baseline: plain
seeds: 2
rows:
  - {id: plain, paper: {map: 40.0}}
  - {id: small, set: ["detector.backbone.kwargs={stem: imagenet, width: 0.5}"]}
scales:
  tiny: {set: [training.epochs=1]}
"""


def started(path, *overrides):
    return tiny(
        BACKBONE, f"detector.backbone.init_from=recipe:{path}", "training.epochs=1", *overrides
    )


def test_a_backbone_is_trained_first_and_once(tmp_path, monkeypatch):
    recipe = started(write_tiny(tmp_path), GREY)
    (run,) = run_detection(recipe, tmp_path / "run")
    (network,) = (tmp_path / "run/starts").glob("*/stages/refined-*/model.safetensors")
    direct = recipe.detector.backbone.model_copy(
        update={"init_from": f"file:{network}", "start": ()}
    )
    detector = recipe.detector.model_copy(update={"backbone": direct})
    (same,) = run_detection(recipe.model_copy(update={"detector": detector}), tmp_path / "file")
    assert run.key == same.key
    # The backbone's own images count as seen; both runs know them from its run folder.
    starts = open_run(network.parents[2]).stages
    own = set(run.images().filter(pc.field("split") != "test").column("id").to_pylist())
    assert run.seen() == same.seen() == own | starts[-1].seen()
    assert (run.outside, run.unknown_origin) == ((f"file:{network}",), ())
    monkeypatch.setattr("tinyrefinery.detection.detector_run.fit", None)
    before = network.stat().st_mtime_ns
    assert run_detection(recipe, tmp_path / "run")[0].key == run.key
    assert network.stat().st_mtime_ns == before


def test_what_cannot_start(tmp_path):
    path = write_tiny(tmp_path)
    with pytest.raises(RecipeError, match="both must be the same"):
        run_detection(started(path, "detector.backbone.kwargs={widths: [4, 16]}"), tmp_path / "a")
    with pytest.raises(RecipeError, match="file:PATH or recipe:NAME"):
        tiny("detector.backbone.init_from=timm:resnet18")
    assert not (tmp_path / "a/starts").exists()


@pytest.fixture
def table(tmp_path):
    (tmp_path / "detector.yaml").write_text(TINY)
    path = tmp_path / "table.yaml"
    path.write_text(TABLE)
    return path


def reproduce(table, *arguments):
    command = ["reproduce", str(table), "--runs", str(table.parent / "runs"), *arguments]
    return CliRunner(env={"COLUMNS": "100"}).invoke(app, command)


def lines_of(folder):
    with (folder / "table.csv").open() as file:
        return {line["row"]: line for line in csv.DictReader(file)}


def test_rows_one_after_the_other_make_one_table(table):
    assert is_detector_table(table)
    done = reproduce(table, "--scale", "tiny", "--row", "plain")
    assert done.exit_code == 0, done.output
    (folder,) = (table.parent / "runs").iterdir()
    assert {row: line["n"] for row, line in lines_of(folder).items()} == {
        "plain": "2",
        "small": "0",
    }
    done = reproduce(table, "--scale", "tiny")
    assert done.exit_code == 0, done.output
    assert "two backbones" in done.output
    (again,) = (table.parent / "runs").iterdir()
    lines, precisions = lines_of(folder), {}
    assert again == folder
    for row, line in lines.items():
        found = [
            stage.evaluation["test"]["map11"]
            for stage in open_run(folder).stages
            if stage.rows == (row,)
        ]
        assert len(found) == 2
        precisions[row] = np.array(found)
        assert float(line["map11"]) == pytest.approx(100 * np.mean(found), abs=1e-6)
        assert float(line["map11_std"]) == pytest.approx(100 * np.std(found, ddof=1), abs=1e-6)
    gain = 100 * (precisions["small"] - precisions["plain"]).mean()
    assert float(lines["small"]["gain"]) == pytest.approx(gain, abs=1e-6)
    assert (lines["plain"]["paper_map"], lines["plain"]["gain"]) == ("40.0", "")
    detect(folder)


def detect(folder):
    """What `detect` does with a run of several rows."""

    def call(*arguments):
        return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["detect", *map(str, arguments)])

    shown = call("evaluate", folder, "inference.score=0.2")
    assert shown.exit_code == 0, shown.output
    assert all(row in shown.output for row in ("plain", "small"))
    refused = call("draw", folder)
    assert refused.exit_code == 2
    assert "Name one with --row" in " ".join(refused.output.split())
    assert call("draw", folder, "--row", "small", "--seed", "1").exit_code == 0
    assert (folder / "drawn" / "sheet-validation.png").exists()


def test_what_a_table_of_detectors_is_not(table):
    done = reproduce(table, "--processes", "2")
    assert done.exit_code == 2
    assert "leave --processes out" in done.output
    table.write_text(TABLE.replace("{id: plain,", "{id: plain, stage: net,"))
    done = reproduce(table)
    assert done.exit_code == 2
    assert "a detector's recipe has no stages" in " ".join(done.output.split())
    table.write_text(TABLE.replace("paper: {map: 40.0}", "paper: {top1: 40.0}"))
    done = reproduce(table)
    assert done.exit_code == 2
    assert "of a detector a paper prints map" in " ".join(done.output.split())


def test_a_seed_among_the_overrides_is_the_only_one(table):
    done = reproduce(table, "--scale", "tiny", "--row", "plain", "seed=7")
    assert done.exit_code == 0, done.output
    (folder,) = (table.parent / "runs").iterdir()
    assert [stage.seed for stage in open_run(folder).stages] == [7]
