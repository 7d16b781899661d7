"""A card states what the records hold, and lists what they lack."""

import json
from hashlib import sha256

import pytest
import yaml
from huggingface_hub import ModelCardData
from typer.testing import CliRunner

from tests.running import stage_folder
from tinyrefinery.cli.main import app
from tinyrefinery.evaluation.prediction_table import Predictions
from tinyrefinery.networks.opening import open_network
from tinyrefinery.sharing.card_facts import card_facts
from tinyrefinery.sharing.model_card import card_text


def card_of(place, *options):
    out = place.parent / "written"
    found = CliRunner().invoke(app, ["card", str(place), "--out", str(out), *options])
    assert found.exit_code == 0, found.output
    return (out / "README.md").read_text()


def front_matter(text):
    return yaml.safe_load(text.split("---\n")[1])


def section(text, title):
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_hub_reads_the_front_matter(chain_run):
    facts = front_matter(card_of(chain_run, "--license", "apache-2.0", "--title", "Digits"))
    read = ModelCardData(**facts)
    (result,) = read.eval_results
    evaluation = json.loads((stage_folder(chain_run, "refined") / "evaluation.json").read_text())
    assert result.metric_value == evaluation["test"]["top1"]
    assert (result.dataset_split, result.task_type) == ("test", "image-classification")
    assert facts["license"] == "apache-2.0"
    assert facts["model-index"][0]["name"] == "Digits"
    assert "label-refinery" in facts["tags"]


@pytest.mark.parametrize(
    ("stated", "written"),
    [
        ([], {"license": "unknown"}),
        (["--license", "ours"], {"license": "other", "license_name": "ours"}),
    ],
)
def test_a_license_is_stated_or_unknown(chain_run, stated, written):
    facts = front_matter(card_of(chain_run, *stated))
    assert {name: facts[name] for name in facts if name.startswith("license")} == written


def test_accuracy_is_that_of_the_predictions(chain_run):
    text = section(card_of(chain_run), "How good it is")
    predictions = Predictions.load(stage_folder(chain_run, "refined") / "predictions-test.parquet")
    right, n = int(predictions.correct.sum()), len(predictions)
    assert f"**{right / n:.1%}** of {n} test images" in text
    assert "95 % interval" in text
    by_class = [line for line in text.splitlines() if line.startswith("| ") and " to " in line]
    assert len(by_class) == len(predictions.classes)
    assert sum(int(line.split("|")[2]) for line in by_class) == n


def test_the_data_is_counted_by_split_and_class(chain_run):
    text = section(card_of(chain_run), "Data")
    for split, count in (("train", 96), ("validation", 40), ("test", 40)):
        assert f"| Images, {split} | {count} |" in text
    digest = json.loads((chain_run / "data.json").read_text())["digest"]
    assert digest in text


def test_the_labels_are_followed_through_the_chain(file_run, teacher_file):
    card = card_of(file_run, "--data-license", "cc0-1.0")
    text = section(card, "How its labels were made")
    lines = [line for line in text.splitlines() if "made the labels of" in line]
    assert ["of this network" in line for line in lines] == [True, False]
    assert "refined (seed 0)" in lines[0]
    assert "made the labels of refined (seed 0)" in lines[1]
    assert all("run teacher" in line for line in lines)
    assert str(teacher_file.parent) not in card  # no folder of this machine
    assert str(teacher_file.parent) not in (file_run.parent / "written/bom.json").read_text()


def test_a_refiner_of_unknown_origin_is_named(tmp_path, file_run, teacher_file):
    stage = stage_folder(file_run, "student")
    lone = tmp_path / "lone.safetensors"
    lone.write_bytes(teacher_file.read_bytes())
    facts = json.loads((stage / "stage.json").read_text())
    facts.pop("digest")
    facts |= {"refiners": [f"file:{lone}"], "outside": [f"file:{lone}"]}
    (stage / "stage.json").write_text(json.dumps(facts))
    recipe = file_run / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace(f"file:{teacher_file}", f"file:{lone}"))
    (file_run / "digests.json").unlink()
    text = card_of(file_run)
    assert "**not recorded**" in section(text, "How its labels were made")
    assert "which images lone.safetensors was trained on" in section(
        text, "Limits: what was not measured"
    )
    assert "| lone.safetensors | unknown | nobody |" in section(text, "Licenses")


def test_licenses_are_inherited_from_the_card_of_a_refiner(file_run, teacher_file):
    arguments = ["card", str(teacher_file.parent), "--license", "AGPL-3.0-only"]
    arguments += ["--data-license", "CC-BY-NC-4.0"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    try:
        text = section(card_of(file_run, "--license", "mit"), "Licenses")
    finally:
        for file in (teacher_file.parent / "card").iterdir():
            file.unlink()
        (teacher_file.parent / "card").rmdir()
    assert "| this network | MIT | the publisher |" in text
    assert "| refined (seed 0) | AGPL-3.0-only | the publisher |" in text
    assert "| data of refined (seed 0), plain (seed 0) | CC-BY-NC-4.0 | the publisher |" in text
    assert "| plain (seed 0) | unknown | nobody |" in text


def test_a_lone_file_has_a_card_that_states_what_is_missing(tmp_path, teacher_file):
    lone = tmp_path / "net.safetensors"
    lone.write_bytes(teacher_file.read_bytes())
    text = card_of(lone)
    assert sha256(lone.read_bytes()).hexdigest() in text
    assert "accuracy on held-out images is not recorded" in section(text, "How good it is")
    assert "No run lies around this file" in section(text, "Limits: what was not measured")
    assert "model-index" not in front_matter(text)


def test_the_budget_of_the_recipe_is_listed(chain_run):
    (chain_run / "digests.json").unlink()
    recipe = chain_run / "recipe.yaml"
    lines = [line for line in recipe.read_text().splitlines() if not line.startswith("budget:")]
    recipe.write_text("\n".join(lines) + "\nbudget: {flash: 100kB, latency: 20ms@host}\n")
    text = section(card_of(chain_run), "What it is")
    assert "flash at most 100,000 bytes, latency at most 20ms@host" in text


def test_results_of_data_tests_are_listed(chain_run):
    suite = chain_run.parent / "suite.yaml"
    suite.write_text("tests: {good: {at_least: 0.99}, few: {metric: macs, at_most: 10}}\n")
    CliRunner().invoke(app, ["test", str(chain_run), str(suite)])
    text = section(card_of(chain_run), "Data tests")
    assert "`suite.yaml` on " in text
    assert "| good | FAIL | >= 0.99 |" in text
    few = next(line for line in text.splitlines() if line.startswith("| few |"))
    macs = open_network(chain_run).trained.evaluation["cost"]["macs"]
    assert "| few | FAIL |" in few
    assert int(few.split(" | ")[3].replace(",", "")) >= macs
    assert " to " not in few
    assert "No data tests" not in card_of(chain_run)


@pytest.mark.parametrize("name", ["README.md", "bom.json"])
def test_a_file_of_the_user_is_kept(chain_run, tmp_path, name):
    file = tmp_path / "mine" / name
    file.parent.mkdir()
    file.write_text('{"bomFormat": "CycloneDX"}')
    found = CliRunner().invoke(app, ["card", str(chain_run), "--out", str(file.parent)])
    assert found.exit_code == 2
    assert f"{name}: was not written by" in found.output.replace("\n", "")
    assert [path.name for path in file.parent.iterdir()] == [name]
    assert file.read_text() == '{"bomFormat": "CycloneDX"}'


def test_a_folder_in_the_place_of_a_card_is_one_message(chain_run, tmp_path):
    (tmp_path / "README.md").mkdir()
    found = CliRunner().invoke(app, ["card", str(chain_run), "--out", str(tmp_path)])
    assert (found.exit_code, found.exception.__class__) == (2, SystemExit), found.output


def test_the_folder_by_default_is_beside_the_network(chain_run):
    for _ in range(2):  # an own card is replaced
        assert CliRunner().invoke(app, ["card", str(chain_run)]).exit_code == 0
    assert (stage_folder(chain_run, "refined") / "card" / "README.md").exists()


def test_a_license_once_stated_is_kept(chain_run):
    CliRunner().invoke(app, ["card", str(chain_run), "--license", "mit"])
    facts = card_facts(open_network(chain_run))
    assert str(facts.license) == "MIT"
    assert "license: mit" in card_text(facts)
