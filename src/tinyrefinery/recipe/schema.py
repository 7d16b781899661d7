"""The recipe: one experiment in YAML. Each field is documented beside it."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from tinyrefinery.options.budget import Budget
from tinyrefinery.options.engine import Engine
from tinyrefinery.options.labels import Refined
from tinyrefinery.options.part import NonNegative, Part, Share, wrong
from tinyrefinery.recipe.data import Data
from tinyrefinery.recipe.stage import OptionalBudget, Stage
from tinyrefinery.recipe.stage_order import expand, mistakes


class Paper(Part):
    """What an experiment repeats."""

    arxiv: str | None = None
    """Number on arXiv, in quotes: "1805.02641"."""
    where: str
    """Table, figure or section, e.g. `Table 2, AlexNet`."""


class Collapse(Part):
    """When a generation counts as collapsed, which stops the chain and keeps what was made."""

    below_refiner: Annotated[float, Field(gt=0, le=1)] = 0.25
    """So far or farther below its refiner's validation top-1 (0 to 1, absolute)."""
    near_chance: Share = 0.1
    """Keeping no more than this share of its refiner's lead over chance (1 / classes)."""


class Chain(Part):
    """How generations follow one another."""

    collapse: Collapse | None = Collapse()
    """null: never stop for a collapse."""
    stop_without_gain: bool = False
    """Stop when later generations of a stage no longer help."""
    min_gain: NonNegative = 0.0
    """Gain in validation top-1 (0 to 1) above which a generation helps."""
    patience: PositiveInt = 1
    """Generations in a row without gain after which to stop."""


def _without_refiner(stages: Sequence[Stage]) -> list[tuple[str, str]]:
    """What is wrong with stages for pictures without labels."""
    refined = [stage for stage in stages if isinstance(stage.labels, Refined)]
    if not refined:
        text = (
            "pictures without labels need a refiner, but no stage has refined labels: write "
            "labels: {name: refined, by: ...} in a stage, or remove data.unlabelled"
        )
        return [("data.unlabelled", text)]
    return [
        (
            f"stages.{stage.id}.labels.level",
            "labels of a category need given labels, which data.unlabelled has not: write "
            "level: crop or image",
        )
        for stage in refined
        if isinstance(stage.labels, Refined) and stage.labels.level == "category"
    ]


class Recipe(Part):
    """One experiment: data, the networks trained on it in order, and how."""

    schema_version: Literal[1] = 1
    """Of this format."""
    title: Annotated[str, Field(min_length=1)]
    """One line for tables and reports."""
    paper: Paper | None = None
    """What is repeated; null: nothing."""
    seed: NonNegativeInt = 0
    """Of weights, order, crops and splits."""
    data: Data
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    """Trained in this order; a stage may be refined by those before it."""
    engine: Engine = Engine()
    chain: Chain = Chain()
    budget: OptionalBudget = None
    """Most that the network of the last stage may cost on a device, e.g. `{flash: 100kB, ram:
    64KiB}`. It is checked before training, and by `export`; null: anything."""

    @model_validator(mode="after")
    def _stages_fit_together(self) -> "Recipe":
        problems = mistakes(self.generations)
        problems += [
            (
                f"stages.{stage.id}.batch_size",
                f"{stage.batch_size} crops can't be shared evenly by {self.engine.processes} "
                "devices (engine.devices times engine.nodes)",
            )
            for stage in self.stages
            if stage.batch_size % self.engine.processes
        ]
        if self.data.unlabelled is not None:
            problems += _without_refiner(self.generations)
        if problems:
            raise wrong(*problems)
        return self

    def budget_of(self, stage: str) -> Budget | None:
        """What the network of a stage may cost.

        That is the stage's own budget. For the last stage, the recipe's budget fills its gaps.
        """
        generations = self.generations
        own = next(each.budget for each in generations if each.id == stage)
        if stage != generations[-1].id:
            return own
        return self.budget if own is None else own.over(self.budget)

    @property
    def generations(self) -> tuple[Stage, ...]:
        """The stages as they are trained: `generations` expanded, so that each is one network."""
        return tuple(expand(self.stages))
