"""What a run folder keeps of the table that it runs, so that reports need neither file nor code."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from tinyrefinery.recipe.load import part_hash
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.table import Table


def table_facts(
    table: Table, jobs: Sequence[tuple[str, Recipe]], scale: str | None, *, smoke: bool
) -> dict[str, Any]:
    """The content of table.json, but for the keys of the stages, which the run adds.

    Args:
        table: at its scale, with all rows, also those that are not run now.
        jobs: what `table_rows` gave for it.
        scale: the scale's name; None: the paper's own.
        smoke: whether the recipes were made small, so that their numbers mean nothing.

    Returns:
        `title`, `paper` (`arxiv`, `where`) or None, `scale`, `smoke`, `recipe` (the base recipe's
        title), `digest` (of all rows, whatever their seeds), `without` (row -> reason) and `rows`,
        each with `id`, `stage`, `baseline` and `paper` (`top1` and `top5` in percent, as far as
        they are printed).
    """
    each_row = dict.fromkeys(part_hash(r.model_copy(update={"seed": 0})) for _, r in jobs)
    last = {row: recipe.generations[-1].id for row, recipe in jobs}
    rows = [
        {
            "id": row.id,
            "stage": row.stage or table.stage or last[row.id],
            "baseline": table.baseline_of(row),
            "paper": row.paper.model_dump(exclude_none=True) if row.paper else {},
        }
        for row in table.rows
    ]
    return {
        "title": table.title,
        "paper": table.paper.model_dump() if table.paper else None,
        "scale": scale,
        "smoke": smoke,
        "recipe": jobs[0][1].title,
        "digest": sha256("".join(each_row).encode()).hexdigest(),
        "without": table.without,
        "rows": rows,
    }
