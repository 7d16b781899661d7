"""The recipe: one experiment, as YAML can say it. Each field is documented where it stands."""

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from tinyrefinery.recipe.data import Data
from tinyrefinery.recipe.generations import expand
from tinyrefinery.recipe.labels import GroundTruth, Labels, Refined
from tinyrefinery.recipe.lineage import mistakes
from tinyrefinery.recipe.optimization import Loss, Optimizer, Plateau, Schedule
from tinyrefinery.recipe.part import NonNegative, Part, Positive, Share, Slug, wrong


class Paper(Part):
    """What an experiment repeats."""

    arxiv: str | None = None
    """Number on arXiv, in quotes: "1805.02641"."""
    where: str
    """Table, figure or section, e.g. `Table 2, AlexNet`."""


class Model(Part):
    """An architecture."""

    name: Annotated[str, Field(min_length=1)]
    """A name that `tinyrefinery.models` knows, or `timm:NAME`."""
    kwargs: dict[str, Any] = Field(default_factory=dict)
    """Options of the architecture, e.g. `{stem: small}`; for timm e.g. `{pretrained: true}`."""
    weights: str | None = None
    """Checkpoint file to start from; null: random weights."""


class Stage(Part):
    """One trained network; with `generations`, a row of them, each refined by the one before."""

    id: Slug
    """Name of the stage in overrides, tables and folders."""
    model: Model
    labels: Labels = GroundTruth(name="ground_truth")
    """Where the targets of training come from."""
    loss: Loss
    """Default: kl (label_to_output) for refined labels, cross_entropy for all others."""
    optimizer: Optimizer
    schedule: Schedule
    """The learning rate over time."""
    epochs: PositiveInt
    """Passes over the training split."""
    batch_size: PositiveInt = 128
    """Crops a training step, over all devices."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay a step of the weights' moving average, which is then what is kept; null: none."""
    norm_momentum: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of a batch in the running statistics of batch normalization, as PyTorch counts (Keras
    and TensorFlow write one minus it); null: the network's own, mostly 0.1."""
    accumulate: PositiveInt = 1
    """Steps whose gradients are added up before the optimizer moves."""
    clip_norm: Positive | None = None
    """Largest global norm of the gradient; null: no limit."""
    seed: NonNegativeInt | None = None
    """Gives the stage weights, order and noise of its own; null: those of the recipe's seed and the
    generation. Crops, and so refined labels, are shared by all stages of a generation anyway."""
    crop_pool: PositiveInt | None = None
    """Draw crops for so many epochs only, and go through them again and again, each time in another
    order: labels in a store then cost no more than these epochs; null: fresh crops each epoch."""
    generations: PositiveInt = 1
    """Above 1, the stage stands for `id`, `id_2`, `id_3` and so on: each but the first is
    refined by the one before it, with this stage's label options (if it has none, the defaults)."""
    beside: str | None = None
    """Train in step with an earlier stage, by its id, that has the same labels, epochs and batch
    size: crops are rendered and labelled once for both, in that stage's order; null: alone."""
    init_from: str | None = None
    """Start from the weights of an earlier stage, by its id, or of `file:PATH`; null: random."""
    evaluate_every: PositiveInt = 1
    """Epochs between two looks at the validation split."""

    @model_validator(mode="before")
    @classmethod
    def _loss_that_fits_the_labels(cls, stage: Any) -> Any:
        if not isinstance(stage, dict) or "loss" in stage:
            return stage
        labels = stage.get("labels")
        name = labels.get("name") if isinstance(labels, dict) else getattr(labels, "name", None)
        return {**stage, "loss": {"name": "kl" if name == "refined" else "cross_entropy"}}

    @model_validator(mode="after")
    def _hangs_together(self) -> "Stage":
        warmup = self.schedule.warmup
        if warmup >= self.epochs:
            raise wrong(
                (
                    "schedule.warmup",
                    f"{warmup:g} epochs of warm-up leave nothing of {self.epochs} epochs",
                )
            )
        if isinstance(self.schedule, Plateau) and self.evaluate_every > self.epochs:
            raise wrong(
                (
                    "evaluate_every",
                    f"{self.evaluate_every} is more than {self.epochs} epochs, so that the plateau "
                    "schedule would never see a validation figure",
                )
            )
        if self.init_from is not None and self.model.weights is not None:
            raise wrong(("init_from", "model.weights also says where to start: keep one of them"))
        labels = self.labels
        if (
            isinstance(labels, Refined)
            and labels.batch_norm == "batch"
            and (labels.bn_group or self.batch_size) < 2
        ):
            raise wrong(
                (
                    "labels.bn_group",
                    "batch statistics need at least 2 crops; write a bn_group, a larger "
                    "batch_size or batch_norm: running",
                )
            )
        return self


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


class Expectation(Part):
    """A number that the run should come near."""

    stage: str
    """Id of the stage."""
    metric: Literal["top1", "top5"]
    """Of the test split, in percent."""
    paper: Annotated[float, Field(ge=0, le=100)]
    """What the paper prints, in percent."""
    within: NonNegative | None = None
    """Percentage points off that still pass; null: only printed."""


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
    expect: tuple[Expectation, ...] = ()
    """Numbers that the run should come near."""

    @model_validator(mode="after")
    def _stages_fit_together(self) -> "Recipe":
        found = mistakes(self.generations, tuple(e.stage for e in self.expect))
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
