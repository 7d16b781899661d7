"""Losses, optimizers and learning-rate schedules that a recipe can name."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from tinyrefinery.recipe.part import NonNegative, Part, Positive, Range, Share, wrong

Momentum = Annotated[float, Field(ge=0, lt=1)]


class CrossEntropy(Part):
    """-sum(target log output): the loss of ground truth; equals KL up to the labels' entropy."""

    name: Literal["cross_entropy"]


class Focal(Part):
    """Cross-entropy weighted by (1 - output)^gamma (arXiv 1708.02002), for soft targets too."""

    name: Literal["focal"]
    gamma: NonNegative = 2.0
    """0 is cross-entropy; more looks harder at what is not yet known."""


class Kl(Part):
    """Kullback-Leibler divergence (Label Refinery, eq. 1 and Table 7)."""

    name: Literal["kl"]
    direction: Literal["label_to_output", "output_to_label"] = "label_to_output"
    """label_to_output: KL(label || output), eq. 1; output_to_label: the other way, Table 7."""


class L2(Part):
    """Squared distance of the distributions (Label Refinery, Table 7)."""

    name: Literal["l2"]


class Bias(Part):
    """Cross-entropy weighted by the variance of the last feature map (arXiv 2107.11170)."""

    name: Literal["bias"]
    alpha: NonNegative = 0.3
    """Factor of the scaled variance in the exponent (equation 6)."""
    beta: NonNegative = 0.3
    """What is subtracted from the exponential (equation 6)."""
    scaling: Literal["activations", "variances", "running_minimum"] = "activations"
    """activations: by the least and greatest activation of the batch, equation 3 as printed;
    variances: by the batch's least and greatest variance; running_minimum: less the least variance
    so far, as in the authors' code."""
    formula: Literal["paper", "checkpoints"] = "paper"
    """paper: exp(alpha v) - beta; checkpoints: exp(beta v) - 1 + alpha, the code of 2021."""
    clamp: Range | None = (0.5, 1.5)
    """Least and greatest weight; null: any, as in the authors' code."""
    mean_normalized: bool = False
    """Divide weights by their mean over the batch: a control, as their mean scales the step."""


Loss = Annotated[CrossEntropy | Focal | Bias | Kl | L2, Field(discriminator="name")]


class _Optimizer(Part):
    """What all optimizers share: what each weight's rate and decay are."""

    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = None
    """Each block learns at this share of the rate of the block after it, the head at lr; null: all
    at lr (fine-tuning, arXiv 2106.08254)."""
    decay_norm_and_bias: bool = True
    """Whether weight decay also falls on biases and on the weights of normalization layers."""


class Sgd(_Optimizer):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"]
    lr: Positive
    """Learning rate after warm-up."""
    momentum: Momentum = 0.9
    weight_decay: NonNegative = 0.0
    """L2 coefficient on every weight."""
    nesterov: bool = False


class _Adaptive(_Optimizer):
    """What Adam and AdamW share."""

    lr: Positive = 1e-3
    """Learning rate after warm-up."""
    betas: tuple[Momentum, Momentum] = (0.9, 0.999)
    """Decay of the first and second moment."""
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    """adam: L2 coefficient; adamw: decoupled decay, times the learning rate."""


class Adam(_Adaptive):
    """Adam (arXiv 1412.6980)."""

    name: Literal["adam"]


class AdamW(_Adaptive):
    """Adam with decoupled weight decay (arXiv 1711.05101)."""

    name: Literal["adamw"]
    weight_decay: NonNegative = 0.01
    """Decoupled decay, times the learning rate."""


class RmsProp(_Optimizer):
    """RMSProp."""

    name: Literal["rmsprop"]
    lr: Positive
    """Learning rate after warm-up."""
    alpha: Momentum = 0.99
    """Decay of the squared gradients."""
    momentum: Momentum = 0.0
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    """L2 coefficient on every weight."""
    form: Literal["pytorch", "tensorflow"] = "pytorch"
    """pytorch: epsilon is added to the root of the squared gradients, whose average starts at 0;
    tensorflow: under the root, the average starts at 1, and momentum gathers steps, not gradients:
    what the recipes of mobile networks were made for."""


Optimizer = Annotated[Sgd | Adam | AdamW | RmsProp, Field(discriminator="name")]


class _Schedule(Part):
    """What all schedules share: a linear warm-up."""

    warmup: NonNegative = 0.0
    """Epochs (may be a fraction) in which the rate grows linearly to the optimizer's lr."""
    warmup_start: Share = 0.0
    """Rate at the start of the warm-up as a share of lr."""


class Constant(_Schedule):
    """The same rate to the end."""

    name: Literal["constant"]


def _rising(epochs: tuple[float, ...]) -> tuple[float, ...]:
    if list(epochs) != sorted(set(epochs)):
        raise ValueError(f"should rise, but is {list(epochs)}")
    return epochs


class Step(_Schedule):
    """The rate falls at given epochs."""

    name: Literal["step"]
    at: Annotated[tuple[Positive, ...], Field(min_length=1), AfterValidator(_rising)]
    """Epochs, rising, counted from the start of the stage; those past its end do nothing."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """The rate is multiplied by it at each."""


class Cosine(_Schedule):
    """Half a cosine from lr down (arXiv 1608.03983, without restarts)."""

    name: Literal["cosine"]
    final: Share = 0.0
    """Rate at the end as a share of lr."""


class OneCycle(_Schedule):
    """Linearly up, then linearly down to zero; needs no other warm-up."""

    name: Literal["one_cycle"]
    peak: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of the epochs after which the rate is lr."""
    start: Share = 0.04
    """Rate at the start as a share of lr."""


class Exponential(_Schedule):
    """The rate falls by the same factor again and again."""

    name: Literal["exponential"]
    factor: Annotated[float, Field(gt=0, lt=1)]
    """The rate is multiplied by it."""
    every: Positive = 1.0
    """Epochs between two falls."""


class Plateau(_Schedule):
    """The rate falls when validation stops getting better."""

    name: Literal["plateau"]
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """The rate is multiplied by it."""
    patience: PositiveInt = 10
    """Evaluations without a better value before the rate falls."""
    metric: Literal["validation_loss", "validation_top1"] = "validation_loss"
    """What must get better."""
    lowest: Share = 0.0
    """The rate falls no further than to this share of lr."""


Schedule = Annotated[
    Constant | Step | Cosine | OneCycle | Exponential | Plateau, Field(discriminator="name")
]


class EarlyStop(Part):
    """When a stage ends before its last epoch, and which weights it keeps; by validation alone."""

    metric: Literal["validation_top1", "validation_loss"] = "validation_top1"
    """What must get better: top-1 (0 to 1) or the negative log-likelihood in nats."""
    patience: PositiveInt | None = 10
    """Evaluations in a row without improvement after which training ends; null: never."""
    min_delta: NonNegative = 0.0
    """Improvements must be greater than this, in the metric's unit, to count for patience."""
    restore_best: bool = True
    """Keep the weights of the best evaluation instead of the last ones."""

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


class Jitter(Part):
    """Crops changed by one ascent step on refiner against network (arXiv 1805.02641, eq. 3)."""

    step: Positive = 1.0
    """eta, in normalized pixel units (the paper: 1)."""
    norm: Literal["gradient", "sign", "l2"] = "gradient"
    """gradient: step times the gradient, as printed; sign: step times its sign, in every pixel; l2:
    step is the length of a crop's whole change."""
    average: Literal["crop", "batch"] = "crop"
    """Whose divergence is differentiated: each crop's own, whatever the batch size; or the batch's
    mean, which makes steps of norm: gradient smaller by the batch size."""
    direction: Literal["label_to_output", "output_to_label"] = "label_to_output"
    """Which divergence grows: KL(label || output), as in the paper's loss; or the other."""
    through_refiner: bool = True
    """Differentiate the label too, which is the refiner's output for the same crop; false: hold it
    fast, which saves the refiner's backward pass, and its forward pass where labels are stored."""
    batch_norm: Literal["batch", "running"] = "batch"
    """Statistics of the trained network while the gradient is taken: as in training, or its running
    ones."""
    mates: Literal["all", "jittered"] = "all"
    """Crops that share the refiner's batch statistics with a jittered one: natural ones too, as in
    the batch that is trained on; or jittered ones only."""
    clamp: bool = False
    """Keep jittered pixels between black and white; the paper's equation doesn't."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Jittered crops for each natural one."""
