"""A stage of a recipe: one network to train, from which labels, and how."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt, model_validator

from tinyrefinery.options.budget import Budget
from tinyrefinery.options.labels import GroundTruth, Labels, Refined, runs_in_torch
from tinyrefinery.options.losses import Loss
from tinyrefinery.options.part import Frozen, Part, Slug, at_home, wrong
from tinyrefinery.options.training import EarlyStop, Hints, Jitter, TrainingRecipe

OptionalBudget = Annotated[Budget | None, Field(exclude_if=lambda budget: budget is None)]
"""A budget, or null, which is not written: recipes without one stay as they were."""
OptionalHints = Annotated[Hints | None, Field(exclude_if=lambda hints: hints is None)]
"""Hints, or null, which is not written either."""


class Model(Part):
    """An architecture."""

    name: Annotated[str, Field(min_length=1)]
    """A name that `tinyrefinery.models` knows, or `timm:NAME`."""
    kwargs: dict[str, Any] = Field(default_factory=dict)
    """Options of the architecture, e.g. `{stem: small}`; for timm e.g. `{pretrained: true}`."""
    weights: Annotated[str, AfterValidator(at_home)] | None = None
    """Checkpoint file to start from; null: random weights."""


class Stage(TrainingRecipe):
    """One trained network; with `generations`, a row of them, each refined by the one before."""

    id: Slug
    """Name of the stage in overrides, tables and folders."""
    model: Model
    labels: Labels = GroundTruth()
    """Where the targets of training come from."""
    loss: Loss
    """Default: kl (label_to_output) for refined labels, cross_entropy for all others."""
    seed: NonNegativeInt | None = None
    """Gives the stage weights, order and noise of its own; null: those of the recipe's seed and the
    generation. Crops, and so refined labels, are shared by all stages of a generation anyway."""
    crop_pool: PositiveInt | None = None
    """Draw crops for this many epochs only, and repeat them, each time in another order: labels in
    a store then cost no more than these epochs; null: fresh crops each epoch."""
    generations: PositiveInt = 1
    """Above 1, the stage stands for `id`, `id_2`, `id_3` and so on: each but the first is
    refined by the one before it, with this stage's label options (if it has none, the defaults)."""
    beside: str | None = None
    """Train in step with an earlier stage, by its id, that has the same labels, epochs and batch
    size: crops are rendered and labeled once for both, in that stage's order; null: alone."""
    init_from: Annotated[str, AfterValidator(at_home)] | None = None
    """Start from the weights of an earlier stage, by its id, of `file:PATH`, or of another recipe's
    last stage, `recipe:NAME`, which is then trained first at the same seed; null: random."""
    replace_head: bool = False
    """Draw a new last layer instead of starting from the old one: other data has other classes."""
    freeze: Frozen = ()
    """Parts that stay as they start, by name, e.g. `[stem, blocks.0]`, or how many of the first
    blocks; their batch normalization keeps its statistics too."""
    bn_momentum: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share that each batch has in batch normalization's running statistics (PyTorch's momentum, 1
    minus that of Keras); null: the architecture's, mostly 0.1."""
    int8: bool = False
    """Compute with weights and activations rounded to 8 bits, as an int8 export does. Batch
    normalization keeps its statistics, so weights to start from are needed."""
    jitter: Jitter | None = None
    """Add adversarially jittered crops to each batch (Label Refinery, section 3.1), best to a
    network that is trained already (init_from); null: natural crops only."""
    hints: OptionalHints = None
    """Draw the student's features towards those of the refiner, which must be one network in
    PyTorch whose labels are not stored; null: it learns from labels alone."""
    stop: EarlyStop | None = None
    """End early, and restore the best weights, by the validation split; null: train all epochs and
    keep the last weights."""

    budget: OptionalBudget = None
    """Most that this stage's network may cost on a device; null: as in the recipe's budget for the
    last stage, anything for the others."""

    @model_validator(mode="before")
    @classmethod
    def _loss_that_fits_the_labels(cls, stage: Any) -> Any:
        if not isinstance(stage, dict) or "loss" in stage:
            return stage
        labels = stage.get("labels")
        name = labels.get("name") if isinstance(labels, dict) else getattr(labels, "name", None)
        return {**stage, "loss": {"name": "kl" if name == "refined" else "cross_entropy"}}

    @model_validator(mode="after")
    def _starts_from_one_place(self) -> "Stage":
        if self.init_from is not None and self.model.weights is not None:
            raise wrong(("init_from", "model.weights also says where to start: keep one of them"))
        start = self.init_from or self.model.weights or self.model.kwargs.get("pretrained")
        for field in ("replace_head", "freeze", "int8"):
            if getattr(self, field) and not start:
                text = "needs weights to start from: init_from, model.weights or pretrained"
                raise wrong((field, text))
        return self

    @model_validator(mode="after")
    def _loss_is_of_logits(self) -> "Stage":
        if self.int8 and self.loss.name == "bias":
            text = (
                "rounded networks give no feature map, which the bias loss needs: set another loss"
            )
            raise wrong(("int8", text))
        return self

    @model_validator(mode="after")
    def _hints_fit(self) -> "Stage":
        if self.hints is not None and (reason := self._no_hints()):
            raise wrong(("hints", f"{reason}, or hints: null"))
        return self

    def _no_hints(self) -> str | None:
        """Why the stage can't have hints, and what to write instead; None: it can."""
        labels = self.labels
        if not isinstance(labels, Refined):
            return (
                f"labels ({labels.name}) come without a refiner, whose features the student would "
                "follow; write labels: {name: refined, by: ...}"
            )
        if labels.level != "crop":
            return (
                f"labels of level '{labels.level}' are made once a stage, so there are no features "
                "of each crop; write labels.level: crop"
            )
        if labels.store is not None:
            return "stored labels come without features; write labels.store: null"
        if len(labels.by) > 1:
            names = ", ".join(labels.by)
            return f"{len(labels.by)} refiners ({names}) have no features in common; keep one"
        if others := [name for name in labels.by if not runs_in_torch(name)]:
            return (
                f"'{others[0]}' gives no features, since PyTorch doesn't run it; refine by a "
                "stage, a safetensors file or timm:NAME"
            )
        if self.jitter is not None:
            return "jittered crops are labeled without features; write jitter: null"
        return "rounded networks give no features; write int8: false" if self.int8 else None

    @model_validator(mode="after")
    def _labels_fit(self) -> "Stage":
        labels = self.labels
        refined = labels if isinstance(labels, Refined) else None
        if self.jitter is not None and not (refined and refined.level == "crop"):
            kind = f"level '{refined.level}'" if refined else labels.name
            text = (
                f"labels ({kind}) don't depend on the crop, so a jittered crop has no label of its "
                "own; write labels: {name: refined, by: ..., level: crop} or jitter: null"
            )
            raise wrong(("jitter", text))
        if self.jitter is not None and refined and refined.classes is not None:
            text = (
                "jittered crops have no given label to keep where a refiner of other classes "
                "(labels.classes) is unsure: write jitter: null"
            )
            raise wrong(("jitter", text))
        if refined and refined.batch_norm == "batch" and (refined.bn_group or self.batch_size) < 2:
            text = (
                "batch statistics need at least 2 crops; write a bn_group, a larger batch_size or "
                "batch_norm: running"
            )
            raise wrong(("labels.bn_group", text))
        return self
