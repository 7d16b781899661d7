"""The report's first section: the right network, its numbers counted anew, nothing unescaped."""

import json
import shlex
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from tests.docs.test_commands import parsed, words_of
from tests.reports.fake_run import write_fake_run
from tinyrefinery.cli.outcome import show
from tinyrefinery.evaluation.prediction_table import Predictions
from tinyrefinery.networks.opening import open_network
from tinyrefinery.reports.class_errors import (
    class_lines,
    confident_errors,
    confusion,
    worst_pairs,
)
from tinyrefinery.reports.network_facts import network_facts
from tinyrefinery.reports.page import write_page
from tinyrefinery.runs.image_record import write_images
from tinyrefinery.runs.run_folder import open_run
from tinyrefinery.statistics.proportions import wilson_interval

NAMES = ("cat", "<script>alert(1)</script>", "dog")
#          label, predicted, probability
ROWS = [(0, 0, 0.9), (0, 1, 0.8), (0, 1, 0.95), (1, 1, 0.7), (2, 0, 0.6), (2, 2, 0.9)]


def predictions(names=NAMES, rows=ROWS):
    k = len(names)
    p = np.array([[(1 - x) / (k - 1)] * k for _, _, x in rows], np.float32)
    for row, (_, predicted, x) in enumerate(rows):
        p[row, predicted] = x
    ids = np.array([f"id{n}" for n in range(len(rows))])
    labels = np.array([label for label, _, _ in rows])
    return Predictions(ids, np.arange(len(rows)), labels, p, names)


def facts_of(folder):
    facts = network_facts(open_run(folder))
    assert facts is not None
    return facts


@pytest.fixture
def folder(tmp_path):
    folder = write_fake_run(tmp_path / "demo", epochs=2)
    stage = facts_of(folder).stage
    predictions().save(stage.folder / "predictions-test.parquet")
    pictures = [str(tmp_path / f"{n}.png") for n in range(len(ROWS))]
    Image.new("RGB", (30, 20), "red").save(pictures[2])
    table = pa.table(
        {
            "id": [f"id{n}" for n in range(len(ROWS))],
            "path": pictures,
            "label": [NAMES[label] for label, _, _ in ROWS],
            "split": ["test"] * len(ROWS),
        }
    )
    write_images(folder, stage.data, table)
    return folder


def test_the_network_is_the_last_stage_at_the_lowest_seed_with_its_interval(folder):
    facts = facts_of(folder)
    assert (facts.stage.stage, facts.stage.seed, facts.n) == ("again", 0, 1000)
    measured = json.loads((facts.stage.folder / "evaluation.json").read_text())["test"]["top1"]
    assert facts.top1 == measured
    assert facts.interval == wilson_interval(measured, 1000)
    values = [
        json.loads((stage.folder / "evaluation.json").read_text())["test"]["top1"]
        for stage in open_run(folder).stages
        if stage.stage == "again"
    ]
    assert facts.over_seeds is not None
    assert facts.over_seeds.mean == pytest.approx(np.mean(values))
    half = 4.302652729911275 * np.std(values, ddof=1) / np.sqrt(3)  # t, 2 degrees, 97.5 %
    assert facts.over_seeds.high == pytest.approx(np.mean(values) + half)
    assert "78.7k parameters" in facts.size


def test_binary_products_are_told_where_there_are_any(folder):
    facts = facts_of(folder)
    path = facts.stage.folder / "evaluation.json"
    assert "binary" not in facts.size
    content = json.loads(path.read_text())
    content["cost"] |= {"macs": 2_000_000, "binary_macs": 1_500_000}
    path.write_text(json.dumps(content))
    assert "2M MACs, 1.5M of them binary" in facts_of(folder).size


def test_a_stage_that_the_recipe_no_longer_has_is_not_the_network(folder):
    recipe = (folder / "recipe.yaml").read_text().replace("  - id: again\n", "")
    (folder / "recipe.yaml").write_text(recipe)
    opened = open_network(folder).stage
    assert opened is not None
    assert facts_of(folder).stage.stage == opened.stage == "refined"


def test_commands_name_one_row_of_a_network_that_several_share(folder):
    for file in (folder / "stages").glob("again-*/stage.json"):
        stage = json.loads(file.read_text())
        rows = ["b", "c"] if stage["seed"] == 1 else ["a"]
        file.write_text(json.dumps(stage | {"rows": rows}))
    best = replace(facts_of(folder), stage=open_network(folder, row="c").stage)
    command = shlex.split(best.commands[0][0])
    row = command[command.index("--row") + 1]
    assert open_network(folder, row=row).stage == best.stage


def test_classes_pairs_and_errors_are_counted():
    found = predictions()
    assert confusion(found).tolist() == [[1, 2, 0], [0, 1, 0], [1, 0, 1]]
    lines = class_lines(found)
    assert [(line.name, line.n, line.right) for line in lines] == [
        ("cat", 3, 1),
        ("dog", 2, 1),
        (NAMES[1], 1, 1),
    ]
    assert (lines[0].taken_for, lines[0].taken) == (NAMES[1], 2)
    assert lines[2].taken_for == ""
    assert worst_pairs(found) == [("cat", NAMES[1], 2), ("dog", "cat", 1)]


def test_errors_come_most_confident_first_with_their_pictures(folder):
    stage = facts_of(folder).stage
    errors = confident_errors(stage, predictions())
    assert [round(each.probability, 2) for each in errors] == [0.95, 0.8, 0.6]
    assert errors[0].path.endswith("2.png")
    assert errors[0].picture.startswith("data:image/")
    assert errors[1].picture == ""  # no such file


def test_a_path_that_no_file_can_have_has_no_picture(folder):
    stage = facts_of(folder).stage
    ids = [f"id{n}" for n in range(len(ROWS))]
    paths = ["a\0.png"] * len(ROWS)
    table = pa.table({"id": ids, "path": paths, "label": ["cat"] * 6, "split": ["test"] * 6})
    write_images(folder, stage.data, table)
    assert {each.picture for each in confident_errors(stage, predictions())} == {""}


def test_the_page_answers_first_and_escapes(folder):
    page = write_page([open_run(folder)]).read_text()
    assert page.index("Your network") < page.index("Did refining help?")
    assert "<script>" not in page
    assert "Confusion matrix" in page
    assert f"tinyrefinery predict {folder}" in page


def test_many_classes_get_the_worst_pairs(folder):
    names = tuple(f"class {n:02d}" for n in range(25))
    stage = facts_of(folder).stage
    many = predictions(names, [(n, (n + 1) % 25, 0.5) for n in range(24)] + [(0, 1, 0.9)])
    many.save(stage.folder / "predictions-test.parquet")
    page = write_page([open_run(folder)]).read_text()
    assert "Confusion matrix" not in page
    assert "Most frequent confusions" in page
    assert worst_pairs(many)[0] == ("class 00", "class 01", 2)


def test_the_terminal_says_it_first(folder, capsys):
    show([folder])
    first = capsys.readouterr().out.splitlines()
    assert first[0].startswith("Your network, demo again")
    assert "of 1,000 test images are right (95 % interval" in first[0]
    assert any(line.startswith("Next: tinyrefinery predict ") for line in first[:6])


def test_every_command_to_paste_parses(folder):
    for command, _ in facts_of(folder).commands:
        assert parsed(words_of(command))[0]
