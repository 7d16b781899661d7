"""`reproduce`: scales, single rows one after the other, and the table that comes of it."""

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.recipe_files import TINY, write_tiny
from tinyrefinery.cli.main import app
from tinyrefinery.cli.reproduce_needs import _duration
from tinyrefinery.recipe.load import load_recipe

TABLE = """
title: a tiny table
recipe: tiny.yaml
baseline: plain
seeds: 2
paper: {where: Table 1}
rows:
  - {id: plain, stage: plain, paper: {top1: 50.0}}
  - {id: hard, stage: refined, set: [stages.refined.labels.hard=true], paper: {top1: 60.0}}
scales:
  wide: {recipe: wide.yaml}
"""


@pytest.fixture
def table(tmp_path):
    write_tiny(tmp_path)
    write_tiny(tmp_path, TINY.replace("widths: [4, 8]", "widths: [6, 8]"), "wide.yaml")
    path = tmp_path / "table.yaml"
    path.write_text(TABLE)
    return path


def reproduce(table, *arguments):
    runs = table.parent / "runs"
    command = ["reproduce", str(table), "--runs", str(runs), *map(str, arguments)]
    return CliRunner().invoke(app, command)


def lines_of(folder):
    with (folder / "table.csv").open() as file:
        return {line["row"]: line for line in csv.DictReader(file)}


def test_rows_one_after_the_other_make_one_table(table):
    done = reproduce(table, "--scale", "wide", "--row", "plain", "--seeds", "1")
    assert done.exit_code == 0, done.output
    (folder,) = (table.parent / "runs").iterdir()
    assert folder.name.startswith("table-wide-")
    assert [path.name.split("-")[0] for path in (folder / "stages").iterdir()] == ["plain"]
    assert {row: line["n"] for row, line in lines_of(folder).items()} == {"plain": "1", "hard": "0"}
    done = reproduce(table, "--scale", "wide", "--row", "hard")
    assert done.exit_code == 0, done.output
    assert "a tiny table, at scale wide" in done.output
    assert "compare the order of the rows" in done.output
    lines, found = lines_of(folder), json.loads((folder / "table.json").read_text())
    assert (found["scale"], found["recipe"]) == ("wide", "a tiny chain")
    kept = load_recipe(folder / "recipes" / "hard.yaml")
    assert [stage.id for stage in kept.stages] == ["plain", "refined"]
    assert kept.stages[1].labels.hard
    assert (folder / "recipes" / "plain.yaml").exists()
    # `hard` needed `plain` at both seeds, but as a row `plain` was asked for at one.
    assert {row: line["n"] for row, line in lines.items()} == {"plain": "1", "hard": "2"}
    top1 = {
        (row, seed): json.loads(path.read_text())["test"]["top1"]
        for row, keys in found["keys"].items()
        for seed, key in keys.items()
        for path in folder.glob(f"stages/*-{key[:8]}/evaluation.json")
    }
    mean = np.mean([top1["hard", "0"], top1["hard", "1"]])
    assert float(lines["hard"]["top1"]) == pytest.approx(100 * mean)
    gain = 100 * (top1["hard", "0"] - top1["plain", "0"])
    assert float(lines["hard"]["gain"]) == pytest.approx(gain)
    assert (lines["hard"]["gain_n"], lines["hard"]["difference"]) == ("1", "")


def test_an_unknown_scale_is_one_message(table):
    done = reproduce(table, "--scale", "wid")
    assert done.exit_code == 2
    told = " ".join(done.output.split())
    assert "no scale 'wid'. Did you mean 'wide'? Scales: wide" in told
    assert not (table.parent / "runs").exists()


def test_another_table_in_the_folder_keeps_no_keys_of_the_first(table):
    name = ("--name", "mine", "--seeds", "1", "--row", "plain")
    done = reproduce(table, *name)
    assert done.exit_code == 0, done.output
    table.write_text(TABLE.replace("labels.hard=true", "labels.level=image"))
    done = reproduce(table, "--name", "mine", "--seeds", "1", "--row", "hard")
    assert done.exit_code == 0, done.output
    found = json.loads((table.parent / "runs" / "mine" / "table.json").read_text())
    assert {row: len(keys) for row, keys in found["keys"].items()} == {"plain": 0, "hard": 1}


def test_needs_are_printed_and_nothing_is_trained(table):
    done = reproduce(table, "--needs")
    assert done.exit_code == 0, done.output
    data, disk, hours = done.stdout.splitlines()
    assert data.startswith("data: street_numbers, embedded, ")
    assert "of weights" in disk
    # Two stages at two seeds; the row `hard` needs the stage of the row `plain`.
    assert hours.startswith("time: 4 networks, about ")
    assert not (table.parent / "runs").exists()


def test_needs_are_told_before_training(table):
    done = reproduce(table, "--row", "plain", "--seeds", "1")
    assert done.exit_code == 0, done.output
    assert "time: 1 network, about" in done.output
    assert done.output.index("time: 1 network") < done.output.index("run folder:")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(40, "40 seconds"), (150, "2.5 minutes"), (9000, "2.5 hours"), (86400 * 210, "210 days")],
)
def test_durations(seconds, text):
    assert _duration(seconds) == text
