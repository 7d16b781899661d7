"""A table: rows of overrides of one recipe, with the numbers that a paper prints.

At a *scale* the same rows run over another recipe: other images, smaller networks, stages of the
same ids.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, NonNegativeInt, WithJsonSchema

from tinyrefinery.errors import RecipeError, did_you_mean
from tinyrefinery.options.messages import check, hint
from tinyrefinery.options.part import Part, Slug
from tinyrefinery.recipe.detection import STAGE, DetectionRecipe, load_any
from tinyrefinery.recipe.document import read
from tinyrefinery.recipe.load import part_hash
from tinyrefinery.recipe.schema import Paper, Recipe
from tinyrefinery.recipe.stage_order import ancestors


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

J = TypeVar("J", bound=tuple[str, Recipe | DetectionRecipe])
Percent = Annotated[float, Field(ge=0, le=100)]
Reason = Annotated[str, Field(min_length=1)]


class Printed(Part):
    """What a paper prints for a row, in percent of the held-out images."""

    top1: Percent | None = None
    top5: Percent | None = None
    map: Percent | None = None
    """Of a detector: mean average precision, Pascal VOC's eleven points."""


class Row(Part):
    """One line of a table."""

    id: Slug
    """Name of the row in run folders and reports."""
    stage: str | None = None
    """Id of the stage whose numbers fill the row; it and the stages it needs are trained, and no
    others; null: the table's stage, and all of the recipe's stages are trained."""
    like: Slug | None = None
    """Id of an earlier row whose overrides stand before this row's own; null: none."""
    set: tuple[str, ...] = ()
    """Overrides of the recipe, e.g. `stages.alexnet.labels.hard=true`."""
    paper: Printed | None = None
    """What the paper prints, in percent: `{top1: 66.28}`; null: nothing."""
    baseline: Slug | None = None
    """Id of the row that this one's gain is measured against; null: the table's."""


class Literature(Part):
    """A row of the paper without a training here: its numbers are printed, never measured."""

    id: Slug
    """Name of the row, which no row of the table has."""
    network: Reason
    """The network as the paper names it."""
    paper: Printed
    """What the paper prints, in percent: `{top1: 65.4, top5: 86.4}`."""


class Scale(Part):
    """The same rows at another size: other images, smaller networks."""

    recipe: str | None = None
    """The recipe's file, relative to the table's, with stages of the same ids; null: the table's
    own."""
    set: tuple[str, ...] = ()
    """Overrides for every row, after the row's own."""
    without: dict[Slug, Reason] = Field(default_factory=dict)
    """Rows that are left out at this scale, each with the reason."""


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
    baseline: Slug | None = None
    """Id of the row that gains are measured against; null: none."""
    seeds: Seeds = (0,)
    """A list of seeds, or how many (3 is 0, 1, 2)."""
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]
    without: dict[Slug, Reason] = Field(default_factory=dict)
    """Rows of the paper that are not here, each with the reason."""
    literature: tuple[Literature, ...] = ()
    """Rows of the paper that are printed only; reports list them apart from the table's rows."""
    first: tuple[Slug, ...] = ()
    """Ids of the rows that run first, in this order: those that answer the table's question. The
    others follow as they stand."""
    scales: dict[Slug, Scale] = Field(default_factory=dict)
    """Sizes at which the rows run besides, by name."""

    def baseline_of(self, row: Row) -> str | None:
        """Id of the row that a row's gain is measured against. It is never the row itself."""
        name = row.baseline or self.baseline
        return None if name == row.id else name


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
    if mistakes := list(dict.fromkeys(_mistakes(table))):
        raise RecipeError("\n".join(f"{path}: {mistake}" for mistake in mistakes))
    return _without_like(table)


def _without_like(table: Table) -> Table:
    """The table with all overrides in each row, also those of the row that it is like."""
    overrides: dict[str, tuple[str, ...]] = {}
    for row in table.rows:
        overrides[row.id] = (*(overrides[row.like] if row.like else ()), *row.set)
    rows = [row.model_copy(update={"like": None, "set": overrides[row.id]}) for row in table.rows]
    return table.model_copy(update={"rows": tuple(rows)})


def _mistakes(table: Table) -> Iterator[str]:
    ids = [row.id for row in table.rows]
    yield from _wrong_names(table, ids)
    for place, row in enumerate(table.rows):
        if row.like is not None and row.like not in ids[:place]:
            yield f"rows.{row.id}.like: no earlier row '{row.like}' ({hint(row.like, ids[:place])})"
    named = {"baseline": table.baseline}
    named |= {f"rows.{row.id}.baseline": row.baseline for row in table.rows}
    for where, name in named.items():
        if name is not None and name not in ids:
            yield f"{where}: no row '{name}' ({hint(name, ids)})"
    for scale in table.scales:
        yield from _mistakes_at(table, scale, ids)


def _wrong_names(table: Table, ids: Sequence[str]) -> Iterator[str]:
    for name in ids:
        if ids.count(name) > 1:
            yield f"rows.{name}: {ids.count(name)} rows have this id"
        if name in table.without:
            yield f"without.{name}: is a row of this table"
    printed_only = [row.id for row in table.literature]
    for name in printed_only:
        if name in ids or printed_only.count(name) > 1:
            yield f"literature.{name}: several rows have this id"
    for name in table.first:
        if name not in ids:
            yield f"first: no row '{name}' ({hint(name, ids)})"


def _mistakes_at(table: Table, scale: str, ids: Sequence[str]) -> Iterator[str]:
    where, without = f"scales.{scale}.without", table.scales[scale].without
    for name in without:
        if name not in ids:
            yield f"{where}.{name}: no row '{name}' ({hint(name, ids)})"
    left = [row for row in table.rows if row.id not in without]
    if not left:
        yield f"{where}: leaves no row"
    for row in left:
        if (name := table.baseline_of(row)) in without:
            yield f"{where}.{name}: row '{row.id}' is measured against it"


def at_scale(table: Table, scale: str | None, path: Path | str) -> Table:
    """The table as it runs at one of its scales; None: as it stands.

    Raises:
        RecipeError: when the table has no such scale, naming those it has.
    """
    if scale is None:
        return table
    if scale not in table.scales:
        known = list(table.scales)
        nearest = did_you_mean(scale, known)
        scales = f"{nearest} Scales: {', '.join(known)}" if known else " It has none"
        raise RecipeError(f"{path}: no scale '{scale}'.{scales}")
    part = table.scales[scale]
    rows = [
        row.model_copy(update={"set": (*row.set, *part.set)})
        for row in table.rows
        if row.id not in part.without
    ]
    change = {"recipe": part.recipe or table.recipe, "rows": tuple(rows), "scales": {}}
    change["literature"] = ()  # its numbers are of the paper's data
    return table.model_copy(update=change | {"without": table.without | part.without})


def check_rows(ids: Sequence[str], table: Table, path: Path | str) -> None:
    """Refuse ids that are no rows of the table.

    Raises:
        RecipeError: naming the rows, or why the row is left out.
    """
    known = [row.id for row in table.rows]
    for name in ids:
        if name in table.without:
            raise RecipeError(f"{path}: row '{name}' is left out: {table.without[name]}")
        if name not in known:
            raise RecipeError(f"{path}: no row '{name}'.{did_you_mean(name, known)} Rows: {known}")


def table_rows(
    table: Table, path: Path | str, overrides: Sequence[str] = ()
) -> list[tuple[str, Recipe | DetectionRecipe]]:
    """(row id, recipe) for each row and seed, rows in order, seeds within a row.

    All recipes are of one kind, that of the table's recipe.

    Args:
        table: what `load_table` or `at_scale` gave.
        path: the table's file, to which its recipe is relative.
        overrides: for every row, after the row's own; a `seed=` among them runs that seed only.

    Raises:
        RecipeError: when the recipe or a row is wrong, or no stage has the row's stage id.
    """
    file = Path(path).parent / table.recipe
    one_seed = any(override.split("=")[0] == "seed" for override in overrides)
    jobs = []
    for row in table.rows:
        try:
            recipe = _of_row(load_any(file, [*row.set, *overrides]), row, table)
        except RecipeError as error:
            raise RecipeError(f"{path}: rows.{row.id}: {error}") from error
        for seed in (recipe.seed,) if one_seed else table.seeds:
            jobs.append((row.id, recipe.model_copy(update={"seed": seed})))
    return jobs


def in_running_order(table: Table, jobs: Sequence[J]) -> list[J]:
    """The jobs of `table_rows` in the order in which they teach most.

    Seed by seed, and within a seed the rows of `table.first`, then the others. So an interrupted
    run has whole comparisons.

    Args:
        table: what the jobs are rows of.
        jobs: (row id, recipe).
    """
    ids = [row.id for row in table.rows]
    order = [*(name for name in table.first if name in ids), *ids]
    seeds = list(dict.fromkeys(recipe.seed for _, recipe in jobs))
    return sorted(jobs, key=lambda job: (seeds.index(job[1].seed), order.index(job[0])))


def _of_row(recipe: Recipe | DetectionRecipe, row: Row, table: Table) -> Recipe | DetectionRecipe:
    """The row's recipe; where the row names its stage, with no more than that stage needs."""
    if isinstance(recipe, DetectionRecipe):
        if row.stage or table.stage:
            raise RecipeError("stage: a detector's recipe has no stages")
        if row.paper and (row.paper.top1 or row.paper.top5):
            raise RecipeError("paper: of a detector a paper prints map")
        return recipe
    stage, ids = row.stage or table.stage, [generation.id for generation in recipe.generations]
    if stage is not None and stage not in ids:
        raise RecipeError(f"{table.recipe} has no stage '{stage}' ({hint(stage, ids)})")
    if row.stage is None:
        return recipe
    needed = {row.stage, *ancestors(row.stage, recipe.generations)}
    stages = tuple(g for g in recipe.generations if g.id in needed)
    return recipe.model_copy(update={"stages": stages})


def table_facts(
    table: Table,
    jobs: Sequence[tuple[str, Recipe | DetectionRecipe]],
    scale: str | None,
    *,
    smoke: bool,
) -> dict[str, Any]:
    """The content of table.json, but for the keys of the stages, which the run adds.

    Args:
        table: at its scale, with all rows, also those that are not run now.
        jobs: what `table_rows` gave for it.
        scale: the scale's name; None: the paper's own.
        smoke: whether the recipes were made small, so that their numbers mean nothing.

    Returns:
        `title`, `paper` (`arxiv`, `where`) or None, `metric` (`top1`, of detectors `map`), `scale`,
        `smoke`, `recipe` (the base recipe's title), `digest` (of all rows, whatever their seeds),
        `without` (row -> reason), `literature` (rows that are printed only: `id`, `network` and
        `paper`) and `rows`, each with `id`, `stage`, `baseline` and `paper` (what
        is printed, in percent: `top1` and `top5`, or `map`).
    """
    digests = dict.fromkeys(part_hash(r.model_copy(update={"seed": 0})) for _, r in jobs)
    last = {row: _last_stage(recipe) for row, recipe in jobs}
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
        "metric": "map" if isinstance(jobs[0][1], DetectionRecipe) else "top1",
        "scale": scale,
        "smoke": smoke,
        "recipe": jobs[0][1].title,
        "digest": sha256("".join(digests).encode()).hexdigest(),
        "without": table.without,
        "literature": [row.model_dump(exclude_none=True) for row in table.literature],
        "rows": rows,
    }


def _last_stage(recipe: Recipe | DetectionRecipe) -> str:
    return STAGE if isinstance(recipe, DetectionRecipe) else recipe.generations[-1].id
