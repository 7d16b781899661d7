"""`tinyrefinery recipe check | list | show | schema`."""

import json

import pytest
import yaml
from typer.testing import CliRunner

from tinyrefinery.cli.main import app
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.shipped import locate, recipes_in, shipped_folder


def run(*words: str):
    return CliRunner().invoke(app, ["recipe", *map(str, words)])


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("title: x\ndata: 3\nstages: [{id: a, epochs: two}]\n")
    return path


def test_check_names_good_files():
    result = run("check", "starter/cifar10")
    assert result.exit_code == 0
    assert result.stdout == (
        f"ok  {shipped_folder()}/starter/cifar10.yaml: CIFAR-10: ResNet8 plain, and refined by "
        "ResNet-18 (3 networks)\n"
    )


def test_check_walks_folders_and_builds_networks():
    folder = shipped_folder() / "starter"  # `make recipes` checks all of them so
    result = run("check", folder, "--deep")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) == len(recipes_in(folder)) > 2
    # MLPerf Tiny's ResNet8 has about 78 thousand parameters
    assert any("plain 77,946 parameters" in line for line in lines)


def test_check_tells_every_mistake_after_what_is_good(broken):
    result = run("check", broken, "starter/folder", "nowhere")
    assert result.exit_code == 2
    assert result.stdout.startswith("ok  ")
    assert f"{broken}: data: should be a mapping of keys, not 3" in result.stderr
    assert f"{broken}: stages.a.epochs: should be a valid integer, not 'two'" in result.stderr
    assert "nowhere: no such file" in result.stderr
    assert "Traceback" not in result.stderr


def test_check_of_an_empty_folder_fails(tmp_path):
    result = run("check", tmp_path)
    assert (result.exit_code, result.stderr) == (
        2,
        f"{tmp_path}: no recipe (*.yaml) in this folder\n",
    )


def test_deep_check_finds_what_the_schema_can_not(tmp_path):
    path = tmp_path / "r.yaml"
    text = locate("starter/cifar10").read_text()
    path.write_text(text.replace("{name: resnet8}", "{name: resnet9}"))
    assert run("check", path).exit_code == 0
    result = run("check", path, "--deep")
    assert result.exit_code == 2
    assert f"{path}: stages.plain.model: no model is named 'resnet9'" in result.stderr


def test_check_counts_rows_and_seeds(tmp_path):
    path = tmp_path / "table.yaml"
    recipe = locate("starter/cifar10")
    path.write_text(f"title: T\nrecipe: {recipe}\nseeds: 3\nrows: [{{id: a}}, {{id: b}}]\n")
    assert run("check", path).stdout == f"ok  {path}: T (2 rows, 3 seeds)\n"


def test_list_has_titles_and_own_recipes(broken):
    result = run("list", "--folder", broken.parent)
    assert "starter/folder" in result.stdout
    assert load_recipe(locate("starter/folder")).title in result.stdout
    assert f"{broken}  x" in result.stdout


def test_show_is_the_effective_recipe(tmp_path):
    result = run("show", "starter/cifar10", "seed=5", "stages.plain.epochs=2")
    (tmp_path / "shown.yaml").write_text(result.stdout)
    expected = load_recipe(locate("starter/cifar10"), ["seed=5", "stages.plain.epochs=2"])
    assert load_recipe(tmp_path / "shown.yaml") == expected


def test_show_smoke_tells_changes_apart_from_the_recipe():
    result = run("show", "starter/cifar10", "--smoke")
    assert yaml.safe_load(result.stdout)["stages"][0]["epochs"] == 1
    assert "smoke  stages.plain.epochs: 60 -> 1" in result.stderr


def test_show_of_a_wrong_override_exits_with_2():
    result = run("show", "starter/cifar10", "stages.plane.epochs=2")
    assert result.exit_code == 2
    assert "no element 'plane' in stages (did you mean 'plain'?)" in result.stderr


def test_schema_is_json():
    schema = json.loads(run("schema").stdout)
    assert schema["additionalProperties"] is False
    assert schema["properties"]["stages"]["minItems"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "FOLDER"], "is a folder, not a recipe. To train on its pictures:"),
        (["recipe", "show", "FOLDER"], "is a folder, not a recipe"),
        (["recipe", "check", "starter/demo", "seed=2"], "tinyrefinery recipe show RECIPE seed=2"),
    ],
)
def test_what_is_not_a_recipe_is_named_with_the_command_to_type(tmp_path, words, message):
    words = [str(tmp_path) if word == "FOLDER" else word for word in words]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
