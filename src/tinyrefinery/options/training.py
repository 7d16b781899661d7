"""How one network is trained: steps, early stopping, adversarial jitter."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from tinyrefinery.options.optimizers import Optimizer
from tinyrefinery.options.part import NonNegative, Part, Positive, wrong
from tinyrefinery.options.schedules import Plateau, Schedule


class TrainingOptions(Part):
    """What the training loop needs to know, whatever the network learns."""

    epochs: PositiveInt
    """Passes over the training split."""
    batch_size: PositiveInt = 128
    """Images a training step, over all devices."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay per step of the weights' moving average. The average is then evaluated and kept
    instead of the last weights; null: no average."""
    accumulate: PositiveInt = 1
    """Steps whose gradients are added up before the optimizer moves."""
    clip_norm: Positive | None = None
    """Largest global norm of the gradient; null: no limit."""
    evaluate_every: PositiveInt = 1
    """Epochs between two evaluations on the validation split."""


class TrainingRecipe(TrainingOptions):
    """How a recipe trains a network: a stage has these options, and so has a detector."""

    optimizer: Optimizer
    schedule: Schedule
    """The learning rate over time."""

    @model_validator(mode="after")
    def _schedule_fits(self) -> "TrainingRecipe":
        warmup, epochs, every = self.schedule.warmup, self.epochs, self.evaluate_every
        if warmup >= epochs:
            text = f"warmup ({warmup:g}) must be shorter than epochs ({epochs})"
            raise wrong(("schedule.warmup", f"{text}: set schedule.warmup=0"))
        if isinstance(self.schedule, Plateau) and every > epochs:
            text = (
                f"{every} is more than epochs ({epochs}), so the plateau schedule would never see"
            )
            raise wrong(("evaluate_every", f"{text} a validation figure: set evaluate_every=1"))
        return self


class EarlyStop(Part):
    """When training ends before its last epoch, and which weights it keeps; by validation alone."""

    metric: Literal["validation_top1", "validation_loss"] = "validation_top1"
    """What must get better: top-1 (0 to 1) or the negative log-likelihood in nats."""
    patience: PositiveInt | None = 10
    """Evaluations in a row without improvement after which training ends; null: never."""
    min_delta: NonNegative = 0.0
    """Improvements over the last one that counted must be greater than this, in the metric's unit,
    to count for patience."""
    restore_best: bool = True
    """Keep the weights of the best evaluation, the first of equals, instead of the last ones."""

    @model_validator(mode="after")
    def _does_something(self) -> "EarlyStop":
        if self.patience is None and not self.restore_best:
            raise wrong(
                (
                    "patience",
                    "null with restore_best: false does nothing; write a number, or stop: null",
                )
            )
        return self


class Hints(Part):
    """A student's features are drawn towards the refiner's (FitNets, arXiv 1412.6550)."""

    weight: NonNegative = 1.0
    """Factor of the hints' distance (0 to 4) in the loss, beside the loss of the labels. 1 is our
    choice."""
    of: Literal["map", "pooled"] = "map"
    """Which features. map: the last feature map before pooling, place by place; pooled: its mean
    over all places."""


class Jitter(Part):
    """Crops changed by one ascent step on refiner against network (arXiv 1805.02641, eq. 3)."""

    step: Positive = 1.0
    """eta, in normalized pixel units; 1 in the paper."""
    norm: Literal["gradient", "sign", "l2"] = "gradient"
    """gradient: step times the gradient, as printed; sign: step times its sign, in every pixel; l2:
    step is the length of a crop's whole change."""
    average: Literal["crop", "batch"] = "crop"
    """Which divergence is differentiated. crop: the sum over the batch, so that each crop moves by
    its own (and, with batch statistics, by its effect on the others); batch: the mean, which makes
    steps of norm: gradient smaller by the batch size."""
    direction: Literal["label_to_output", "output_to_label"] = "label_to_output"
    """Which divergence grows: KL(label || output), as in the paper's loss (eq. 1); or the other."""
    through_refiner: bool = True
    """Differentiate the label too, which is the refiner's output for the same crop; false: hold it
    constant, which saves the refiner's backward pass, and its forward pass for stored labels."""
    batch_norm: Literal["batch", "running"] = "batch"
    """Statistics of the trained network while the gradient is taken: as in training, or its running
    ones."""
    refiner_batch: Literal["all", "jittered"] = "all"
    """Crops that share the refiner's batch statistics with a jittered one. all: the natural ones of
    its batch too, as in the batch that is trained on; jittered: jittered ones only."""
    clamp: bool = False
    """Keep jittered pixels between black and white; the paper's equation doesn't."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Jittered crops per natural one."""
