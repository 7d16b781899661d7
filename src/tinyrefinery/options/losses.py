"""The losses that a recipe can name."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tinyrefinery.options.part import NonNegative, Part, Positive, Range, wrong

LabelFloor = Annotated[float, Field(gt=0, lt=1)]


class CrossEntropy(Part):
    """-sum(target log output): the loss of ground truth; equals KL up to the labels' entropy."""

    name: Literal["cross_entropy"] = "cross_entropy"


class Focal(Part):
    """Cross-entropy weighted by (1 - output)^gamma (arXiv 1708.02002), for soft targets too."""

    name: Literal["focal"] = "focal"
    gamma: NonNegative = 2.0
    """How much crops that are already right are played down. 0 is cross-entropy; 2 is the paper's
    choice."""


class Kl(Part):
    """Kullback-Leibler divergence (Label Refinery, eq. 1 and Table 7)."""

    name: Literal["kl"] = "kl"
    direction: Literal["label_to_output", "output_to_label"] = "label_to_output"
    """label_to_output: KL(label || output), eq. 1; output_to_label: the other way, Table 7."""
    floor: LabelFloor = 1e-6
    """Least probability of a label under output_to_label, which would else be infinite where a
    label is 0. It sets the price of a wrong answer to a hard label: log(1 / floor), 13.8 nats for
    the default. That is our choice: the paper gives none."""


class L2(Part):
    """Squared distance of the distributions (Label Refinery, Table 7)."""

    name: Literal["l2"] = "l2"


class StandardizedKl(Part):
    """KL of labels and outputs whose logits are standardized first (arXiv 2403.01427)."""

    name: Literal["standardized_kl"] = "standardized_kl"
    temperature: Positive = 2.0
    """Standardized logits are divided by it; 2 is the paper's base temperature."""
    floor: LabelFloor = 1e-6
    """Least probability of a label, which would else have no logarithm where it is 0."""


class Dkd(Part):
    """Decoupled distillation: the target class and the others apart (arXiv 2203.08679)."""

    name: Literal["dkd"] = "dkd"
    alpha: NonNegative = 1.0
    """Factor of the KL of the target class against all others; 1 in the paper."""
    beta: NonNegative = 8.0
    """Factor of the KL among the other classes; 8 for most pairs of the paper."""
    temperature: Positive = 4.0
    """The logits of label and output are divided by it; 4 in the paper on CIFAR-100."""
    floor: LabelFloor = 1e-6
    """Least probability of a label, which would else have no logarithm where it is 0."""


class Dist(Part):
    """Correlations of labels and outputs, over classes and over crops (arXiv 2205.10536)."""

    name: Literal["dist"] = "dist"
    beta: NonNegative = 1.0
    """Factor of the part over the classes of each crop."""
    gamma: NonNegative = 1.0
    """Factor of the part over the crops of each class."""
    temperature: Positive = 1.0
    """The logits of label and output are divided by it."""
    floor: LabelFloor = 1e-6
    """Least probability of a label, which would else have no logarithm where it is 0."""


class Bias(Part):
    """Cross-entropy weighted by the variance of the last feature map (arXiv 2107.11170)."""

    name: Literal["bias"] = "bias"
    alpha: NonNegative = 0.3
    """Factor of the scaled variance in the exponent (equation 6); 0.3 in the paper."""
    beta: NonNegative = 0.3
    """Subtracted from the exponential (equation 6); 0.3 in the paper."""
    scaling: Literal["activations", "variances", "running_minimum"] = "activations"
    """activations: by the least and greatest activation of the batch, equation 3 as printed;
    variances: by the batch's least and greatest variance; running_minimum: less the least variance
    so far, as in the authors' code."""
    formula: Literal["paper", "checkpoints"] = "paper"
    """paper: exp(alpha v) - beta; checkpoints: exp(beta v) - 1 + alpha, the code of 2021."""
    clamp: Range | None = (0.5, 1.5)
    """Least and greatest weight, both above 0; null: any, as in the authors' code."""
    mean_normalized: bool = False
    """Divide weights by their mean over the batch, so that they only move weight between crops. A
    control: a mean weight of 0.7 also means a gradient, and so a step, of 0.7 times the size."""

    @model_validator(mode="after")
    def _weights_are_positive(self) -> "Bias":
        least = 1 - self.beta if self.formula == "paper" else self.alpha  # at v = 0
        if self.clamp is None and least <= 0:
            raise wrong(
                (
                    "clamp",
                    f"null with alpha {self.alpha:g} and beta {self.beta:g} gives crops the weight "
                    f"{least:g}, but weights must be above 0: set clamp=[0.5, 1.5], or other "
                    "numbers",
                )
            )
        return self


Loss = Annotated[
    CrossEntropy | Focal | Bias | Kl | L2 | StandardizedKl | Dkd | Dist,
    Field(discriminator="name"),
]
