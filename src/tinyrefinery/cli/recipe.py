"""`tinyrefinery recipe`: check, list and show recipes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tinyrefinery.recipe.detection import DetectionRecipe
    from tinyrefinery.recipe.schema import Recipe

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
    from tinyrefinery.recipe.detection import DetectionRecipe, load_any
    from tinyrefinery.recipe.latency_table import is_latency_table, load_latency_table
    from tinyrefinery.recipe.table import at_scale, is_table, load_table, table_rows

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
        (recipe,) = recipes = [load_any(path)]
        if isinstance(recipe, DetectionRecipe):
            what = f"{recipe.title} (a detector)"
        else:
            what = f"{recipe.title} ({_count(len(recipe.generations), 'network')})"
    return what + _built(recipes, str(path)) if deep else what


def _built(recipes: "list[Recipe | DetectionRecipe]", place: str) -> str:
    """Build the networks of recipes, which are all of one kind; what they are, in a few words."""
    from tinyrefinery.cli.deep import build_detector, build_networks
    from tinyrefinery.recipe.detection import DetectionRecipe

    networks = [recipe for recipe in recipes if not isinstance(recipe, DetectionRecipe)]
    if networks:
        return build_networks(networks, place)
    built = [build_detector(each, place) for each in recipes if isinstance(each, DetectionRecipe)]
    return built[0] if len(built) == 1 else ""


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
    from tinyrefinery.recipe.detection import load_any
    from tinyrefinery.recipe.load import dump
    from tinyrefinery.recipe.shipped import locate
    from tinyrefinery.recipe.smoke import changes
    from tinyrefinery.recipe.smoke import smoke as shrink

    recipe = load_any(locate(file), overrides or [])
    small = shrink(recipe) if smoke else recipe
    for change in changes(recipe, small):
        typer.echo(f"smoke  {change}", err=True)
    typer.echo(dump(small), nl=False)


@app.command()
def schema() -> None:
    """Print the JSON Schema of recipes, for editors that complete and check YAML."""
    import json

    from tinyrefinery.recipe.schema import Recipe

    typer.echo(json.dumps(Recipe.model_json_schema(), indent=2))
