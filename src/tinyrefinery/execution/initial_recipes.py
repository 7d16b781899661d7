"""Recipes that a network starts from: `init_from: recipe:NAME`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tinyrefinery import builders
from tinyrefinery.errors import RecipeError
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.shipped import locate
from tinyrefinery.runs.lineage import Named, architecture
from tinyrefinery.runs.plan import Job


@dataclass(frozen=True)
class Start:
    """A recipe whose last network others start from."""

    name: str
    """As `init_from` has it, `recipe:NAME`."""
    overrides: tuple[str, ...] = ()
    """Changes to the recipe."""

    @property
    def path(self) -> Path:
        """The recipe's file."""
        return locate(self.name.removeprefix(builders.RECIPE))

    def load(self) -> Recipe:
        """The recipe.

        Raises:
            RecipeError: when it is wrong.
        """
        return load_recipe(self.path, self.overrides)


Files = Mapping[tuple[Start, int], Path]
"""The file of the last network of each recipe to start from, by seed."""


def is_recipe(name: str | None) -> bool:
    """Whether `init_from` names a recipe."""
    return name is not None and name.startswith(builders.RECIPE)


def check_fits(place: str, start: Start, model: Named) -> None:
    """Refuse a recipe, before it is trained, whose last network isn't the one that starts from it.

    Args:
        place: of `init_from` in the recipe, for the message.
        start: the recipe to start from.
        model: the network that starts from it.

    Raises:
        RecipeError: when they have not the same architecture.
    """
    first = start.load().generations[-1].model
    if (first.name, first.kwargs) != (model.name, model.kwargs):
        raise RecipeError(
            f"{place}: '{start.name}' ends with {architecture(first)}, but the network that starts "
            f"from it is {architecture(model)}; both must be the same"
        )


def starts_of(jobs: Sequence[Job]) -> Iterator[tuple[Start, int]]:
    """The recipes that stages of jobs start from, and the seeds at which they are needed.

    Raises:
        RecipeError: when the last network of one doesn't fit a stage.
    """
    for job in jobs:
        for stage in job.recipe.stages:
            if stage.init_from is not None and is_recipe(stage.init_from):
                start = Start(stage.init_from)
                check_fits(f"stages.{stage.id}.init_from", start, stage.model)
                yield start, job.recipe.seed


def with_start_files(jobs: Sequence[Job], files: Files) -> list[Job]:
    """The jobs, with the networks that stages start from named as files."""
    named = []
    for job in jobs:
        stages = [
            stage.model_copy(update={"init_from": f"file:{file}"})
            if (file := files.get((Start(stage.init_from or ""), job.recipe.seed)))
            else stage
            for stage in job.recipe.stages
        ]
        recipe = job.recipe.model_copy(update={"stages": tuple(stages)})
        named.append(replace(job, recipe=recipe))
    return named
