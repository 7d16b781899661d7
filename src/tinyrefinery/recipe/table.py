"""A table: rows of overrides of one recipe, with the numbers that a paper prints."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, NonNegativeInt, WithJsonSchema

from tinyrefinery.errors import RecipeError
from tinyrefinery.recipe.document import read
from tinyrefinery.recipe.load import check, load_recipe
from tinyrefinery.recipe.messages import hint
from tinyrefinery.recipe.part import Part, Slug
from tinyrefinery.recipe.schema import Paper, Recipe


def _first_seeds(value: Any) -> Any:
    return tuple(range(value)) if type(value) is int else value


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"names a seed twice: {list(seeds)}")
    return seeds


Seeds = Annotated[
    tuple[NonNegativeInt, ...],
    Field(min_length=1),
    BeforeValidator(_first_seeds),
    AfterValidator(_distinct),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1},
            ]
        }
    ),
]


class Row(Part):
    """One line of a table."""

    id: Slug
    """Name of the row in run folders and reports."""
    set: tuple[str, ...] = ()
    """Overrides of the recipe, e.g. `stages.alexnet.labels.hard=true`."""
    paper: dict[str, float] | None = None
    """What the paper prints for the table's stage, in percent: `{top1: 66.28}`; null: nothing."""


class Table(Part):
    """Rows of overrides of one recipe, each run with several seeds."""

    title: Annotated[str, Field(min_length=1)]
    """One line for reports."""
    recipe: str
    """The recipe's file, relative to the table's."""
    stage: str | None = None
    """Id of the stage whose numbers fill the table; null: the recipe's last."""
    paper: Paper | None = None
    """What is repeated; null: nothing."""
    seeds: Seeds = (0,)
    """A list of seeds, or how many (3 is 0, 1, 2)."""
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]


def is_table(path: Path | str) -> bool:
    """Whether a YAML file is a table rather than a recipe."""
    raw = read(Path(path))
    return "rows" in raw and "stages" not in raw


def load_table(path: Path | str) -> Table:
    """Read and check a table by itself; `table_rows` checks its rows against the recipe.

    Raises:
        RecipeError: with a line for each mistake.
    """
    raw = read(Path(path))
    if "stages" in raw and "rows" not in raw:
        raise RecipeError(f"{path}: is a recipe (it has stages), not a table of recipes")
    table = check(raw, Table, source=str(path))
    ids = [row.id for row in table.rows]
    for name in ids:
        if ids.count(name) > 1:
            raise RecipeError(f"{path}: rows.{name}: {ids.count(name)} rows have this id")
    return table


def table_rows(
    table: Table, path: Path | str, overrides: Sequence[str] = ()
) -> list[tuple[str, Recipe]]:
    """(row id, recipe) for each row and seed, rows in order, seeds within a row.

    Args:
        table: what `load_table` gave.
        path: the table's file, to which its recipe is relative.
        overrides: for every row, after the row's own; a `seed=` among them runs that seed only.

    Raises:
        RecipeError: when the recipe or a row is wrong, or no stage has the table's stage id.
    """
    recipe = Path(path).parent / table.recipe
    seeds = (None,) if any(each.split("=")[0] == "seed" for each in overrides) else table.seeds
    jobs = []
    for row in table.rows:
        for seed in seeds:
            own = [*row.set, *overrides, *([] if seed is None else [f"seed={seed}"])]
            try:
                jobs.append((row.id, load_recipe(recipe, own)))
            except RecipeError as error:
                raise RecipeError(f"{path}: rows.{row.id}: {error}") from error
        ids = [stage.id for stage in jobs[-1][1].generations]
        if table.stage is not None and table.stage not in ids:
            raise RecipeError(
                f"{path}: rows.{row.id}: no stage '{table.stage}' ({hint(table.stage, ids)})"
            )
    return jobs
