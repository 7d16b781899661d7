"""`tinyrefinery recipe`: check, list and show recipes."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="Check, list and show recipes.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Overrides = Annotated[
    list[str] | None, typer.Argument(help="Changes, e.g. seed=1 stages.small.epochs=3.")
]


@app.command()
def check(
    files: Annotated[
        list[str], typer.Argument(help="Recipes, tables or folders of them; names of shipped ones.")
    ],
    deep: Annotated[
        bool, typer.Option(help="Also build each network, without memory for its weights.")
    ] = False,
) -> None:
    """Check recipes and tables, each row of a table too; tells all mistakes, not only the first."""
    from tinyrefinery.errors import RecipeError

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
    from tinyrefinery.errors import RecipeError
    from tinyrefinery.recipe.shipped import locate, recipes_in

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
    from tinyrefinery.recipe.detection import is_detection, is_detection_table, load_detection
    from tinyrefinery.recipe.latency_table import is_latency_table, load_latency_table
    from tinyrefinery.recipe.load import load_recipe
    from tinyrefinery.recipe.table import at_scale, is_table, load_table, table_rows

    if is_detection(path):
        detector = load_detection(path)
        what = f"{detector.title} (a detector)"
        if deep:
            from tinyrefinery.cli.deep import build_detector

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
    from tinyrefinery.cli.deep import build_networks

    return what + build_networks(recipes, str(path))


def _checked_detectors(path: Path, deep: bool) -> str:
    """What a good table of detectors is."""
    from tinyrefinery.recipe.detection import detection_rows
    from tinyrefinery.recipe.table import at_scale, load_table

    table = load_table(path)
    jobs = [
        job
        for scale in (None, *table.scales)
        for job in detection_rows(at_scale(table, scale, path), path)
    ]
    if deep:
        from tinyrefinery.cli.deep import build_detector

        for row, recipe in jobs:
            build_detector(recipe, f"{path}: rows.{row}")
    rows, seeds = _count(len(table.rows), "row"), _count(len(table.seeds), "seed")
    return f"{table.title} ({rows} of detectors, {seeds})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


@app.command("list")
def list_recipes(
    folder: Annotated[Path, typer.Option(help="Folder of recipes of your own, listed too.")] = Path(
        "recipes"
    ),
) -> None:
    """List the shipped recipes and those in ./recipes, with their titles."""
    from tinyrefinery.recipe.shipped import recipes_in, shipped_folder

    shipped = shipped_folder()
    paths = recipes_in(shipped)
    titles = {path.relative_to(shipped).with_suffix("").as_posix(): path for path in paths}
    if folder.resolve() != shipped.resolve():
        titles |= {str(path): path for path in recipes_in(folder)}
    width = max(map(len, titles), default=0)
    for name, path in titles.items():
        typer.echo(f"{name:<{width}}  {_title(path)}")


def _title(path: Path) -> str:
    from tinyrefinery.errors import RecipeError
    from tinyrefinery.recipe.document import read

    try:
        raw = read(path)
    except RecipeError as error:
        return f"(broken: {str(error).removeprefix(f'{path}: ')})"
    table = "rows" in raw or "latency" in raw
    return f"{raw.get('title', '(no title)')}{' [table]' if table else ''}"


@app.command()
def show(
    file: Annotated[str, typer.Argument(help="A recipe's file, or the name of a shipped one.")],
    overrides: Overrides = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="As --smoke would run it; tells the changes on stderr.")
    ] = False,
) -> None:
    """Print the effective recipe: defaults, overrides and --smoke written out."""
    from tinyrefinery.recipe.detection import is_detection, load_detection, smoke_detection
    from tinyrefinery.recipe.load import dump, load_recipe
    from tinyrefinery.recipe.shipped import locate
    from tinyrefinery.recipe.smoke import changes
    from tinyrefinery.recipe.smoke import smoke as shrink

    path = locate(file)
    if is_detection(path):
        recipe = load_detection(path, overrides or [])
        small = smoke_detection(recipe) if smoke else recipe
    else:
        recipe = load_recipe(path, overrides or [])
        small = shrink(recipe) if smoke else recipe
    for change in changes(recipe, small):
        typer.echo(f"smoke  {change}", err=True)
    recipe = small
    typer.echo(dump(recipe), nl=False)


@app.command()
def schema() -> None:
    """Print the JSON Schema of recipes, for editors that complete and check YAML."""
    import json

    from tinyrefinery.recipe.schema import Recipe

    typer.echo(json.dumps(Recipe.model_json_schema(), indent=2))
