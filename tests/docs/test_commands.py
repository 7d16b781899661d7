"""The documents say what is: commands parse, recipes load, links lead somewhere."""

import ast
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
import yaml
from pydantic import TypeAdapter

import tinyrefinery
from tests.commands import every_command
from tinyrefinery import errors
from tinyrefinery.cli.main import app
from tinyrefinery.data_tests.data_test_file import Suite
from tinyrefinery.data_tests.verdicts import Verdict
from tinyrefinery.fitting.search_space import FAMILIES
from tinyrefinery.models import MODELS
from tinyrefinery.options.labels import Labels
from tinyrefinery.options.losses import Loss
from tinyrefinery.options.messages import check
from tinyrefinery.options.training import EarlyStop
from tinyrefinery.recipe.detection import DetectionRecipe, load_any
from tinyrefinery.recipe.latency_table import is_latency_table, load_latency_table
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.shipped import locate
from tinyrefinery.recipe.table import Table, at_scale, is_table, load_table, table_rows

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
HOUSE = [ROOT / f"{name}.md" for name in ("README", "ARCHITECTURE", "CONTRIBUTING", "CHANGELOG")]
PAGES = [*HOUSE, *sorted(DOCS.rglob("*.md"))]
OWN_RECIPES = {"my.yaml", "recipe.yaml"}  # stand for a reader's own
PARTS = {"labels": TypeAdapter(Labels), "loss": TypeAdapter(Loss), "stop": TypeAdapter(EarlyStop)}
PARTS_OF_TESTS = ("DataTest", "Defaults", "Perturbation")
PLACEHOLDER = re.compile(r"\b[A-Z]{3,}\b|\.\.\.")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[Block]:
    found: list[Block] = []
    start, language, inside = 0, "", None
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if not line.startswith("```"):
            if inside is not None:
                inside.append(line)
        elif inside is None:
            start, language, inside = number, line[3:].strip(), []
        else:
            found.append(Block(page, start, language, "\n".join(inside)))
            inside = None
    assert inside is None, f"{name_of(page)}:{start}: this block is never closed"
    return found


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def commands_of(page: Path) -> list[tuple[str, str]]:
    """(place, command line) of every `tinyrefinery ...` in a block or between backticks."""
    found = []
    for block in blocks_of(page):
        if block.language in ("", "bash", "sh", "console", "text"):
            joined = block.text.replace("\\\n", " ").splitlines()
            lines = [line.strip().removeprefix("$ ") for line in joined]
            found += [(str(block), line) for line in lines if line.startswith("tinyrefinery ")]
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    found += [(name_of(page), line) for line in re.findall(r"`(tinyrefinery [^`]+)`", prose)]
    return found


COMMANDS = [each for page in PAGES for each in commands_of(page)]


def words_of(line: str) -> list[str]:
    """The arguments of a command line: no comment, no redirection, [optional] words bare."""
    words = shlex.split(line, comments=True)[1:]
    if ">" in words:
        words = words[: words.index(">")]
    return [word.strip("[]") for word in words if word.strip("[]") != "..."]


def parsed(words: list[str]) -> tuple[str, dict[str, Any]]:
    """Name and parameters of the command that the real command line sees; it is not run."""
    command: Any = typer.main.get_command(app)
    path, context = "", None
    while True:
        context = command.make_context(command.name, list(words), parent=context)
        if not hasattr(command, "commands"):
            return path.strip(), context.params
        rest = [*context._protected_args, *context.args]
        if not rest:
            return path.strip(), context.params
        name, command, words = command.resolve_command(context, rest)
        path += f" {name}"


def is_only_named(place: str, words: list[str]) -> bool:
    """Whether prose names a command or a group of them, such as `tinyrefinery recipe`."""
    named = " ".join(words)
    return ":" not in place and any(f"{name} ".startswith(f"{named} ") for name in every_command())


def test_there_are_commands():
    assert len(COMMANDS) > 40
    assert {"README.md", "docs/cli.md"} <= {place.split(":")[0] for place, _ in COMMANDS}


@pytest.mark.parametrize(("place", "line"), COMMANDS)
def test_a_command_parses_and_its_recipe_and_overrides_load(place, line, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = words_of(line)
    if is_only_named(place, words) or words == ["COMMAND", "--help"]:
        return
    command, given = parsed(words)
    assert command, f"{place}: {line}: names no command"
    file = given.get("recipe") or given.get("table") or given.get("file")
    overrides = [each for each in given.get("overrides") or () if not PLACEHOLDER.search(each)]
    if file is None or file in OWN_RECIPES or PLACEHOLDER.search(file):
        return
    path = locate(file)
    if is_latency_table(path):
        assert load_latency_table(path)
    elif is_table(path):
        table = at_scale(load_table(path), given.get("scale"), path)
        assert set(given.get("row") or ()) <= {row.id for row in table.rows}
        assert table_rows(table, path, overrides)
    else:
        assert command != "reproduce", f"{place}: {file} is no table"
        assert load_any(path, overrides)


@pytest.mark.parametrize(
    "line",
    [
        "tinyrefinery rnu starter/demo",
        "tinyrefinery run starter/demo --sede 3",
        "tinyrefinery run",
        "tinyrefinery recipe chekc recipes",
        "tinyrefinery demo --seeds many",
    ],
)
def test_a_wrong_command_would_be_found(line):
    with pytest.raises(Exception, match=r"No such|Missing|valid integer"):
        parsed(words_of(line))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_recipes_that_are_mentioned_exist(page):
    for path in re.findall(r"\brecipes/[\w./-]+\.yaml", page.read_text()):
        assert (ROOT / path).is_file(), path
    for name in re.findall(r"[` ]((?:starter|label_refinery|detection)/[\w-]+)", page.read_text()):
        assert locate(name).is_file(), name


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"https?://", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), f"{name_of(page)}: {target}"
        if anchor:
            assert anchor in anchors(there), f"{name_of(page)}: {target}"


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as mkdocs makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.M)
    plain = [re.sub(r"[^\w\s-]", "", title.lower()).strip() for title in titles]
    return {re.sub(r"[\s-]+", "-", title) for title in plain}


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python"], ids=str)
def test_python_compiles_and_its_names_exist(block):
    tree = ast.parse(block.text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "tr":
            assert node.attr in tinyrefinery.__all__, f"{block}: tr.{node.attr}"


def test_every_public_name_is_told():
    told = (DOCS / "python-api.md").read_text()
    assert [name for name in tinyrefinery.__all__ if f"`tr.{name}`" not in told] == []


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "yaml"], ids=str)
def test_yaml_is_good(block):
    for chunk in re.split(r"\n(?=labels:|loss:)", block.text):
        content = yaml.safe_load(chunk)
        if "detector" in content:
            check(content, DetectionRecipe, source=str(block))
        elif "tests" in content:
            check(content, Suite, source=str(block))
        elif "data" in content:
            check(content, Recipe, source=str(block))
        elif "rows" in content:
            check(content, Table, source=str(block))
        else:
            assert content.keys() <= {*PARTS, "stages"}, block
            for name in PARTS.keys() & content.keys():
                PARTS[name].validate_python(content[name])


def test_every_command_and_option_is_told():
    told = re.split(r"^## ", (DOCS / "cli.md").read_text(), flags=re.M)
    sections = {section.splitlines()[0]: section for section in told[1:]}
    assert sections.keys() == every_command().keys()
    for name, command in every_command().items():
        for option in (o for parameter in command.params for o in parameter.opts):
            if option.startswith("--") and option != "--help":
                assert f"`{option}`" in sections[name], f"{name} {option}"


def test_every_field_of_a_recipe_is_told():
    told = (DOCS / "recipes.md").read_text()
    schemas = (Recipe.model_json_schema(), Table.model_json_schema())
    parts = [part for schema in schemas for part in (schema, *schema["$defs"].values())]
    fields = {field for part in parts for field in part.get("properties", {})}
    known = {word for code in re.findall(r"`([^`\n]+)`", told) for word in re.findall(r"\w+", code)}
    assert sorted(fields - known) == []


def test_every_field_of_a_detectors_recipe_is_told():
    told = "".join((DOCS / f"{name}.md").read_text() for name in ("recipes", "detection"))
    schema = DetectionRecipe.model_json_schema()
    parts = (schema, *schema["$defs"].values())
    fields = {field for part in parts for field in part.get("properties", {})}
    known = {word for code in re.findall(r"`([^`\n]+)`", told) for word in re.findall(r"\w+", code)}
    assert sorted(fields - known) == []


def test_every_field_of_data_tests_is_told():
    told = (DOCS / "data-tests.md").read_text()
    schema = Suite.model_json_schema()["$defs"]
    own = [Suite.model_fields, *(schema[name]["properties"] for name in PARTS_OF_TESTS)]
    fields = {field for part in own for field in part}
    known = {word for code in re.findall(r"`([^`\n]+)`", told) for word in re.findall(r"\w+", code)}
    assert sorted(fields - known) == []
    for verdict in Verdict:
        assert f"| {verdict} |" in told


def test_every_kind_of_part_is_told():
    told = "".join((DOCS / f"{n}.md").read_text() for n in ("recipes", "label-policies-and-losses"))
    for part in Recipe.model_json_schema()["$defs"].values():
        name = part.get("properties", {}).get("name", {})
        for kind in [name["const"]] if "const" in name else name.get("enum", []):
            assert f"`{kind}`" in told or f"name: {kind}" in told, kind


def test_every_architecture_is_told():
    table = (DOCS / "recipes.md").read_text().split("## Models")[1].split("### ")[0]
    rows = [row.split(" | ")[0] for row in table.splitlines() if row.startswith("| `")]
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert told == MODELS.keys()


def test_the_families_of_fit_are_counted():
    assert f"{len(FAMILIES)} families" in (DOCS / "fit.md").read_text()


def test_every_error_and_its_exit_code_is_told():
    told = (DOCS / "resuming-and-errors.md").read_text()
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    for kind in (each for each in kinds if issubclass(each, errors.RefineryError)):
        assert f"| {kind.exit_code} | `{kind.__name__}` |" in told


def test_the_file_tree_is_whole():
    tree = next(b.text for b in blocks_of(ROOT / "README.md") if "src/tinyrefinery/" in b.text)
    here = [p for p in (ROOT / "src" / "tinyrefinery").iterdir() if p.name[0] not in "._"]
    names = {p.name + "/" if p.is_dir() else p.name for p in here if p.suffix != ".typed"}
    assert sorted(name for name in names if not re.search(rf"^  {name}\s", tree, re.M)) == []


def test_the_rows_are_those_that_are_checked():
    told = (ROOT / "ARCHITECTURE.md").read_text()
    project = (ROOT / "pyproject.toml").read_text()
    layers = project[project.index("layers = [") : project.index("exhaustive = true")]
    rows = re.findall(r'^  "([\w |]+)",$', layers, re.M)
    named = [row.replace("\\|", "|") for row in re.findall(r"^\| `([\w |\\]+)` \|", told, re.M)]
    assert [row for row in named if row in rows] == rows[::-1]


def test_every_decision_is_short_and_in_the_menu():
    menu = (ROOT / "mkdocs.yml").read_text()
    decisions = sorted((DOCS / "decisions").glob("*.md"))
    assert [path.name[:4] for path in decisions] == [f"{n + 1:04d}" for n in range(len(decisions))]
    for path in decisions:
        text = path.read_text()
        assert len(text.splitlines()) <= 30, path.name
        assert re.findall(r"^## (.*)$", text, re.M) == ["Context", "Decision", "Consequence"]
        assert f"decisions/{path.name}" in menu


def test_labels_in_the_documents_are_all_levels():
    """The grid of refined labels is told whole, also when the schema grows."""
    told = (DOCS / "label-policies-and-losses.md").read_text()
    refined = next(kind for kind in get_args(get_args(Labels)[0]) if kind.__name__ == "Refined")
    for field in ("level", "batch_norm"):
        for value in get_args(refined.model_fields[field].annotation):
            assert f"`{value}`" in told, value
