"""The optimizers that a recipe can name."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tinyrefinery.options.part import NonNegative, Part, Positive, wrong

Momentum = Annotated[float, Field(ge=0, lt=1)]


class Groups(Part):
    """What all optimizers share: the learning rate and decay of each weight."""

    lr: Positive
    """Learning rate after warm-up."""
    weight_decay: NonNegative = 0.0
    """L2 coefficient on every weight; adamw: decoupled decay, times the learning rate."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = None
    """Each block learns at this share of the rate of the block after it, the head at lr; null: all
    at lr (fine-tuning, arXiv 2106.08254)."""
    decay_norm_and_bias: bool = True
    """Whether weight decay also falls on biases and on the weights of normalization layers."""


class Sgd(Groups):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"] = "sgd"
    momentum: Momentum = 0.9
    nesterov: bool = False

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> "Sgd":
        if self.nesterov and not self.momentum:
            raise wrong(("nesterov", "needs a momentum above 0: set momentum=0.9"))
        return self


class _Adaptive(Groups):
    """What Adam and AdamW share."""

    lr: Positive = 1e-3
    """Learning rate after warm-up."""
    betas: tuple[Momentum, Momentum] = (0.9, 0.999)
    """Decay of the first and second moment."""
    eps: Positive = 1e-8


class Adam(_Adaptive):
    """Adam (arXiv 1412.6980)."""

    name: Literal["adam"] = "adam"


class AdamW(_Adaptive):
    """Adam with decoupled weight decay (arXiv 1711.05101)."""

    name: Literal["adamw"] = "adamw"
    weight_decay: NonNegative = 0.01


class RmsProp(Groups):
    """RMSProp."""

    name: Literal["rmsprop"] = "rmsprop"
    alpha: Momentum = 0.99
    """Decay of the squared gradients."""
    momentum: Momentum = 0.0
    eps: Positive = 1e-8
    form: Literal["pytorch", "tensorflow"] = "pytorch"
    """pytorch: epsilon is added to the root of the squared gradients, whose average starts at 0;
    tensorflow: under the root, the average starts at 1, and momentum gathers steps, not gradients:
    what the recipes of mobile networks were made for."""


Optimizer = Annotated[Sgd | Adam | AdamW | RmsProp, Field(discriminator="name")]
