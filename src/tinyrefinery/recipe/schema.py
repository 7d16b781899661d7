"""The recipe: one experiment, as YAML can say it. Each field is documented where it stands."""

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from tinyrefinery.recipe.data import Data
from tinyrefinery.recipe.lineage import expand, mistakes
from tinyrefinery.recipe.part import NonNegative, Part, Share, wrong
from tinyrefinery.recipe.stage import Stage


class Paper(Part):
    """What an experiment repeats."""

    arxiv: str | None = None
    """Number on arXiv, in quotes: "1805.02641"."""
    where: str
    """Table, figure or section, e.g. `Table 2, AlexNet`."""


class Engine(Part):
    """Where and how the computing is done.

    Results differ by rounding only, but for `devices`: batch statistics are those of a device's
    share of the batch.
    """

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """auto: the accelerator where there is one."""
    devices: PositiveInt = 1
    """Processes, one a device."""
    precision: Literal["32", "bf16"] = "32"
    """bf16: matrix products in bfloat16, weights in 32 bits."""
    channels_last: bool = True
    """Memory layout of crops; faster for most convolutions."""
    compile: bool = False
    """Compile the networks first: half a minute or more before the first step. On CPUs nothing was
    gained with ResNet8."""
    threads: PositiveInt | None = None
    """CPU threads; null: PyTorch's choice."""
    checkpoint_every_epochs: PositiveInt = 1
    """Epochs between two states from which an interrupted run goes on."""
    checkpoint_every_steps: PositiveInt | None = None
    """States within an epoch too; null: none."""
    deterministic: bool = True
    """On accelerators, choose the algorithms that give equal bits each time; slower."""
    tensorboard: bool = False
    """Write logs for TensorBoard too; needs the extra `tensorboard`."""

    @model_validator(mode="before")
    @classmethod
    def _number_of_bits(cls, engine: Any) -> Any:
        if isinstance(engine, dict) and type(engine.get("precision")) is int:
            return {**engine, "precision": str(engine["precision"])}
        return engine


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

    @model_validator(mode="after")
    def _stages_fit_together(self) -> "Recipe":
        found = mistakes(self.generations)
        found += [
            (
                f"stages.{stage.id}.batch_size",
                f"{stage.batch_size} crops can't be shared evenly by {self.engine.devices} devices "
                "(engine.devices)",
            )
            for stage in self.stages
            if stage.batch_size % self.engine.devices
        ]
        if found:
            raise wrong(*found)
        return self

    @property
    def generations(self) -> tuple[Stage, ...]:
        """The stages as they are trained: `generations` expanded, so that each is one network."""
        return tuple(expand(self.stages))
