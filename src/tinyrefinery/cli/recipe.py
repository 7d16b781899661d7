"""`tinyrefinery recipe`: check, list and show recipes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.cli import streams
from tinyrefinery.cli.deep import build_detectors, build_networks
from tinyrefinery.cli.options import Overrides, RecipeName, option
from tinyrefinery.cli.refiner_files import check_files, check_networks
from tinyrefinery.errors import RecipeError
from tinyrefinery.recipe.detection import DetectionRecipe, load_any
from tinyrefinery.recipe.document import read
from tinyrefinery.recipe.latency_table import is_latency_table, load_latency_table
from tinyrefinery.recipe.load import dump
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.shipped import locate, recipes_in, shipped_folder
from tinyrefinery.recipe.smoke import changes
from tinyrefinery.recipe.smoke import smoke as shrink
from tinyrefinery.recipe.table import at_scale, is_table, load_table, table_rows


def check(
    files: Annotated[
        list[str],
        typer.Argument(help="Recipes, tables, folders of them, or names of shipped recipes."),
    ],
    deep: Annotated[
        bool,
        typer.Option(
            "--deep",
            help="Build every network, without memory for weights, and open every refiner file.",
        ),
    ] = False,
) -> None:
    """Check recipes and tables. Reports all mistakes.

    In a table, every row is checked.
    """
    paths, mistakes = _files(files)
    for path in paths:
        try:
            streams.echo(f"ok  {path}: {_checked(path, deep)}")
        except RecipeError as error:
            mistakes.append(str(error))
    if mistakes:
        raise RecipeError("\n".join(mistakes))


def _files(names: list[str]) -> tuple[list[Path], list[str]]:
    """The files that names stand for, and what is wrong with the other names."""
    paths: list[Path] = []
    mistakes = []
    for name in names:
        if "=" in name and not Path(name).exists():
            mistakes.append(
                f"{name}: recipe check takes files alone. To check a recipe with overrides: "
                f"tinyrefinery recipe show RECIPE {name}"
            )
            continue
        try:
            path = locate(name)
        except RecipeError as error:
            mistakes.append(str(error))
            continue
        found = recipes_in(path) if path.is_dir() else [path]
        if not found:
            mistakes.append(f"{path}: no recipe (*.yaml) in this folder")
        paths += found
    return paths, mistakes


def _checked(path: Path, deep: bool) -> str:
    """What a good file is, in a few words.

    Raises:
        RecipeError: when it isn't good.
    """
    if is_latency_table(path):
        latencies = load_latency_table(path)
        return f"{latencies.title} ({_count(len(latencies.latency), 'row')} of latencies)"
    if is_table(path):
        table = load_table(path)
        recipes = [recipe for _, recipe in table_rows(table, path)]
        for scale in table.scales:
            recipes += [recipe for _, recipe in table_rows(at_scale(table, scale, path), path)]
        rows, seeds = _count(len(table.rows), "row"), _count(len(table.seeds), "seed")
        scales = f"; scales: {', '.join(table.scales)}" if table.scales else ""
        what = f"{table.title} ({rows}, {seeds}{scales})"
    else:
        recipe = load_any(path)
        recipes = [recipe]
        if isinstance(recipe, DetectionRecipe):
            what = f"{recipe.title} (a detector)"
        else:
            what = f"{recipe.title} ({_count(len(recipe.generations), 'network')})"
    with_refiners = [recipe for recipe in recipes if isinstance(recipe, Recipe)]
    check_files(with_refiners, str(path))
    if not deep:
        return what
    return what + _built(recipes, str(path)) + check_networks(with_refiners, str(path))


def _built(recipes: Sequence[Recipe | DetectionRecipe], place: str) -> str:
    """Build the networks of recipes, which are all of one kind, and describe them."""
    networks = [recipe for recipe in recipes if isinstance(recipe, Recipe)]
    if networks:
        return build_networks(networks, place)
    return build_detectors([r for r in recipes if isinstance(r, DetectionRecipe)], place)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def list_recipes(
    folder: Annotated[Path, option("FOLDER", "Folder of your own recipes.")] = Path("recipes"),
) -> None:
    """List shipped recipes and your own, with their titles."""
    shipped = shipped_folder()
    paths = recipes_in(shipped)
    titles = {path.relative_to(shipped).with_suffix("").as_posix(): path for path in paths}
    if folder.resolve() != shipped.resolve():
        titles |= {str(path): path for path in recipes_in(folder)}
    width = max(map(len, titles), default=0)
    for name, path in titles.items():
        streams.echo(f"{name:<{width}}  {_title(path)}")


def _title(path: Path) -> str:
    try:
        raw = read(path)
    except RecipeError as error:
        return f"(broken: {str(error).removeprefix(f'{path}: ')})"
    table = "rows" in raw or "latency" in raw
    return f"{raw.get('title', '(no title)')}{' [table]' if table else ''}"


def show(
    recipe: RecipeName,
    overrides: Overrides = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Apply the changes of --smoke and list them on stderr.")
    ] = False,
) -> None:
    """Print a recipe with all defaults and overrides."""
    loaded = load_any(locate(recipe), overrides or [])
    shown = shrink(loaded) if smoke else loaded
    for change in changes(loaded, shown):
        streams.echo(f"smoke  {change}", err=True)
    streams.echo(dump(shown), nl=False)


def schema() -> None:
    """Print the JSON Schema of recipes, for YAML editors."""
    streams.echo(json.dumps(Recipe.model_json_schema(), indent=2))
