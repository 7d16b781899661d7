"""`tinyrefinery recipe`: check, list and show recipes."""

import json
from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.cli.deep import build_detector, build_networks
from tinyrefinery.cli.options import Overrides, RecipeName
from tinyrefinery.errors import RecipeError
from tinyrefinery.recipe.detection import (
    detection_rows,
    is_detection,
    is_detection_table,
    load_detection,
    smoke_detection,
)
from tinyrefinery.recipe.document import read
from tinyrefinery.recipe.latency_table import is_latency_table, load_latency_table
from tinyrefinery.recipe.load import dump, load_recipe
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
        bool, typer.Option("--deep", help="Build every network, without memory for weights.")
    ] = False,
) -> None:
    """Check recipes and tables. Reports all mistakes.

    In a table, every row is checked.
    """
    paths, mistakes = _files(files)
    for path in paths:
        try:
            typer.echo(f"ok  {path}: {_checked(path, deep)}")
        except RecipeError as error:
            mistakes.append(str(error))
    if mistakes:
        raise RecipeError("\n".join(mistakes))


def _files(names: list[str]) -> tuple[list[Path], list[str]]:
    """The files that names stand for, and what is wrong with the other names."""
    paths: list[Path] = []
    mistakes = []
    for name in names:
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
    if is_detection(path):
        detector = load_detection(path)
        what = f"{detector.title} (a detector)"
        if deep:
            what += build_detector(detector, str(path))
        return what
    if is_latency_table(path):
        latencies = load_latency_table(path)
        return f"{latencies.title} ({_count(len(latencies.latency), 'row')} of latencies)"
    if is_detection_table(path):
        return _checked_detectors(path, deep)
    if is_table(path):
        table = load_table(path)
        recipes = [recipe for _, recipe in table_rows(table, path)]
        for scale in table.scales:
            recipes += [recipe for _, recipe in table_rows(at_scale(table, scale, path), path)]
        rows, seeds = _count(len(table.rows), "row"), _count(len(table.seeds), "seed")
        scales = f"; scales: {', '.join(table.scales)}" if table.scales else ""
        what = f"{table.title} ({rows}, {seeds}{scales})"
    else:
        recipes = [load_recipe(path)]
        networks = recipes[0].generations
        what = f"{recipes[0].title} ({_count(len(networks), 'network')})"
    if not deep:
        return what
    return what + build_networks(recipes, str(path))


def _checked_detectors(path: Path, deep: bool) -> str:
    """What a good table of detectors is."""
    table = load_table(path)
    jobs = [
        job
        for scale in (None, *table.scales)
        for job in detection_rows(at_scale(table, scale, path), path)
    ]
    if deep:
        for row, recipe in jobs:
            build_detector(recipe, f"{path}: rows.{row}")
    rows, seeds = _count(len(table.rows), "row"), _count(len(table.seeds), "seed")
    return f"{table.title} ({rows} of detectors, {seeds})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def list_recipes(
    folder: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder of your own recipes.")
    ] = Path("recipes"),
) -> None:
    """List shipped recipes and your own, with their titles."""
    shipped = shipped_folder()
    paths = recipes_in(shipped)
    titles = {path.relative_to(shipped).with_suffix("").as_posix(): path for path in paths}
    if folder.resolve() != shipped.resolve():
        titles |= {str(path): path for path in recipes_in(folder)}
    width = max(map(len, titles), default=0)
    for name, path in titles.items():
        typer.echo(f"{name:<{width}}  {_title(path)}")


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
    path = locate(recipe)
    if is_detection(path):
        loaded = load_detection(path, overrides or [])
        shown = smoke_detection(loaded) if smoke else loaded
    else:
        loaded = load_recipe(path, overrides or [])
        shown = shrink(loaded) if smoke else loaded
    for change in changes(loaded, shown):
        typer.echo(f"smoke  {change}", err=True)
    typer.echo(dump(shown), nl=False)


def schema() -> None:
    """Print the JSON Schema of recipes, for YAML editors."""
    typer.echo(json.dumps(Recipe.model_json_schema(), indent=2))
