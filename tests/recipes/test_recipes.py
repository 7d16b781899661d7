"""Every recipe that is shipped: it loads, its networks can be built, its header's commands work."""

import re
import shlex
from pathlib import Path

import pytest

from tests.recipe_files import is_detector_table
from tinyrefinery.cli.catalog import PANELS
from tinyrefinery.cli.deep import build_detector, build_networks
from tinyrefinery.recipe.detection import is_detection, load_any, load_detection
from tinyrefinery.recipe.latency_table import is_latency_table, load_latency_table
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.shipped import locate, recipes_in
from tinyrefinery.recipe.smoke import smoke, smoke_side
from tinyrefinery.recipe.table import at_scale, is_table, load_table, table_rows

ROOT = Path(__file__).parents[2]
DETECTORS = [path for path in recipes_in(ROOT / "recipes") if is_detection(path)]
DETECTOR_TABLES = [path for path in recipes_in(ROOT / "recipes") if is_detector_table(path)]
LATENCIES = [path for path in recipes_in(ROOT / "recipes") if is_latency_table(path)]
FILES = [
    p for p in recipes_in(ROOT / "recipes") if p not in (*DETECTORS, *DETECTOR_TABLES, *LATENCIES)
]
FLAGS = {"--smoke"}


def recipes_of(path: Path) -> list[Recipe]:
    """The recipe, or those of a table's rows with one seed; scales have a test of their own."""
    if is_table(path):
        return [recipe for _, recipe in table_rows(load_table(path), path, ["seed=0"])]
    return [load_recipe(path)]


def header(path: Path) -> list[str]:
    """The comment lines before the first key."""
    lines = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            return lines
        lines.append(line.lstrip("# "))
    return lines


def name_of(path: Path) -> str:
    return path.relative_to(ROOT / "recipes").as_posix()


def test_there_are_recipes():
    assert {"starter/folder.yaml", "starter/cifar10.yaml", "starter/imagenette.yaml"} <= {
        *map(name_of, FILES)
    }


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_it_loads_and_its_networks_can_be_built(path):
    assert build_networks(recipes_of(path), name_of(path))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_its_smoke_form_is_small(path):
    small = [smoke(recipe) for recipe in recipes_of(path)]
    assert all(max(recipe.data.train_crop.size) <= smoke_side(recipe) <= 96 for recipe in small)
    assert build_networks(small, name_of(path))


@pytest.mark.parametrize("path", DETECTORS, ids=name_of)
def test_a_detector_can_be_built_in_both_forms(path):
    recipe = load_detection(path)
    assert build_detector(recipe, name_of(path))
    assert build_detector(smoke(recipe), name_of(path))


@pytest.mark.slow  # `make recipes` builds them too
@pytest.mark.parametrize("path", DETECTOR_TABLES, ids=name_of)
def test_the_detectors_of_a_table_can_be_built(path):
    table = load_table(path)
    for scale in (None, *table.scales):
        for row, recipe in table_rows(at_scale(table, scale, path), path):
            assert build_detector(recipe, row)
            assert build_detector(smoke(recipe), row)
            model = recipe.detector.backbone.init_from.removeprefix("recipe:")
            start = load_recipe(locate(model)).generations[-1].model
            assert (start.name, start.kwargs) == (
                recipe.detector.backbone.name, recipe.detector.backbone.kwargs,
            )  # fmt: skip


@pytest.mark.parametrize("path", LATENCIES, ids=name_of)
def test_a_table_of_latencies_loads(path):
    assert load_latency_table(path)
    commands = [line for line in header(path) if "tinyrefinery latency " in line]
    assert any("--smoke" in line for line in commands), "no smoke command in the header"
    assert all(ROOT / shlex.split(line)[3] == path for line in commands)


@pytest.mark.parametrize("path", [*FILES, *DETECTORS, *DETECTOR_TABLES], ids=name_of)
def test_its_header_gives_commands_that_parse(path):
    commands = [line for line in header(path) if "tinyrefinery " in line]
    assert any("--smoke" in line for line in commands), "no smoke command in the header"
    for line in commands:
        words = shlex.split(line[line.index("tinyrefinery ") :], comments=True)
        if path in DETECTORS:
            assert words.pop(1) == "detect"
            assert words[1] == "train"
            words[1] = "run"
        _, command, file, *rest = words
        assert any(command in commands for commands in PANELS.values())
        if command not in ("run", "reproduce"):
            continue  # what is done with the run afterwards
        assert ROOT / file == path
        for option in {"--seeds", "--processes"}.intersection(rest):
            place = rest.index(option)
            assert int(rest[place + 1]) > 0
            del rest[place : place + 2]
        scale = None
        if "--scale" in rest:
            place = rest.index("--scale")
            scale = rest[place + 1]
            del rest[place : place + 2]
        assert {word for word in rest if word.startswith("-")} <= FLAGS
        overrides = [word for word in rest if not word.startswith("-")]
        assert load_recipe_or_table(path, overrides, scale)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_overrides_in_its_header_load(path):
    for line in header(path):
        if re.match(r"'[a-z_.0-9]+=", line):
            assert load_recipe_or_table(path, shlex.split(line, comments=True))


def load_recipe_or_table(path: Path, overrides: list[str], scale: str | None = None) -> object:
    if is_table(path):
        rows = table_rows(at_scale(load_table(path), scale, path), path, overrides)
        for _, recipe in rows if path in DETECTOR_TABLES else ():
            part = recipe.detector.backbone
            assert load_recipe(locate(part.init_from.removeprefix("recipe:")), part.start)
        return rows
    assert scale is None
    return load_any(path, overrides)


# A smoke run of every recipe, from data to results, stands in test_smoke_runs.py.
