"""A table of detectors: rows of overrides of a detector's recipe.

It is a `recipe.table.Table` whose recipe is a detector's; `stage` has no meaning there.
"""

from collections.abc import Sequence
from pathlib import Path

from tinyrefinery.errors import RecipeError
from tinyrefinery.recipe.detection import DetectionRecipe, is_detection, load_detection
from tinyrefinery.recipe.table import Table, is_table, load_table


def is_detection_table(path: Path | str) -> bool:
    """Whether a YAML file is a table whose recipe is a detector's."""
    if not is_table(path):
        return False
    base = Path(path).parent / load_table(path).recipe
    return base.is_file() and is_detection(base)


def detection_rows(
    table: Table, path: Path | str, overrides: Sequence[str] = ()
) -> list[tuple[str, DetectionRecipe]]:
    """(row id, recipe) of each row, at the recipe's own seed.

    Args:
        table: what `load_table` or `at_scale` gave.
        path: the table's file, to which its recipe is relative.
        overrides: for every row, after the row's own.

    Raises:
        RecipeError: when the recipe or a row is wrong, or a row names a stage.
    """
    file, found = Path(path).parent / table.recipe, []
    for row in table.rows:
        if row.stage or table.stage:
            raise RecipeError(f"{path}: rows.{row.id}.stage: a detector's recipe has no stages")
        if row.paper and (row.paper.top1 or row.paper.top5):
            raise RecipeError(f"{path}: rows.{row.id}.paper: of a detector a paper prints map")
        try:
            recipe = load_detection(file, [*row.set, *overrides])
        except RecipeError as error:
            raise RecipeError(f"{path}: rows.{row.id}: {error}") from error
        found.append((row.id, recipe))
    return found


def detection_seeds(
    table: Table, jobs: Sequence[tuple[str, DetectionRecipe]], overrides: Sequence[str]
) -> tuple[int, ...]:
    """The table's seeds; with a `seed=` among the overrides, that one only."""
    own = any(each.split("=")[0].strip() == "seed" for each in overrides)
    return (jobs[0][1].seed,) if own else table.seeds
