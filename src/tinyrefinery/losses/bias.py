"""Bias Loss (Abrahamyan et al. 2021, arXiv 2107.11170): crops with poor features count less.

The cross-entropy of each crop is weighted by a function of the variance of its last feature map.
The paper, and its code at two times, disagree on that function; each of its parts is an option
(`options.losses.Bias`), with the paper's as default. The code is lusinlu/biasloss_skipblocknet, in
which the weight was changed in September 2022, a year after its checkpoints had been published.
"""

import torch
from torch import Tensor, distributed, nn

from tinyrefinery.losses.cross_entropy import cross_entropies
from tinyrefinery.losses.targets import Targets
from tinyrefinery.shapes import Float


class BiasLoss(nn.Module):
    """Mean over the batch of z_i times the cross-entropy of crop i, in nats.

    The weight z_i comes from v_i, the variance of crop i's last feature map scaled over the batch.
    No gradient flows through it. For a refined label the cross-entropy is the soft one.

    With several processes, extremes and means are those of the whole batch, so every process must
    call the loss in each step. With accumulated steps they are those of a step.

    Args:
        alpha: see `weights`; this and the other options are those of `options.losses.Bias`.
        beta: see `weights`.
        scaling: see `scaled`. `running_minimum` has a state, the buffer `minimum`, which is part
            of the training's checkpoint.
        formula: see `weights`.
        clamp: least and greatest weight; None: any.
        mean_normalized: whether weights are divided by their mean over the batch.
    """

    needs_features = True

    def __init__(
        self,
        *,
        alpha: float,
        beta: float,
        scaling: str,
        formula: str,
        clamp: tuple[float, float] | None,
        mean_normalized: bool,
    ) -> None:
        super().__init__()
        self.alpha, self.beta, self.clamp = alpha, beta, clamp
        self.scaling, self.formula, self.mean_normalized = scaling, formula, mean_normalized
        if scaling == "running_minimum":
            self.register_buffer("minimum", torch.tensor(torch.inf))

    def forward(
        self, logits: Tensor, targets: Targets, features: Tensor | None = None
    ) -> Float[Tensor, ""]:
        """The loss of a batch; see `losses.Loss`.

        Args:
            logits: (B, K), before the softmax.
            targets: (B, K), rows sum to one; dense or sparse.
            features: (B, C, h, w), the last feature maps before pooling and dropout.

        Raises:
            ValueError: without features, or with features of another batch.
        """
        values = cross_entropies(logits, targets)
        if features is None or len(features) != len(values):
            shape = None if features is None else tuple(features.shape)
            raise ValueError(
                f"bias loss: needs the feature maps of the batch, (B, C, h, w), for logits "
                f"{tuple(logits.shape)}, got {shape}"
            )
        return (self.weights(features).to(values.dtype) * values).mean()

    @torch.no_grad()
    def weights(self, features: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
        """The weight of each crop, (B,), without gradient; notes a new running minimum."""
        variance = variances(features)
        edges = features if self.scaling == "activations" else variance
        least, most = _extremes(edges.detach(), variance.dtype)
        floor = least
        if self.scaling == "running_minimum":
            floor = torch.minimum(self.minimum.to(least), least)
            self.minimum = floor
        v = scaled(variance, floor, least, most)
        z = weights(v, alpha=self.alpha, beta=self.beta, formula=self.formula)
        z = z.clamp(*self.clamp) if self.clamp else z
        return z / _mean(z) if self.mean_normalized else z


def variances(features: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
    """Unbiased variance over the c h w numbers of each crop's feature map, (B,).

    In float32 or better, and without gradient.

    Args:
        features: (B, C, h, w), or of any other shape with crops first.

    Raises:
        ValueError: when a crop has fewer than two numbers, which have no variance.
    """
    if features[:1].numel() < 2:
        raise ValueError(
            f"bias loss: a feature map of shape {tuple(features.shape[1:])} has no variance"
        )
    wide = features.detach().to(torch.promote_types(features.dtype, torch.float32))
    return wide.var(dim=tuple(range(1, wide.ndim)), correction=1)


def scaled(
    variance: Float[Tensor, " B"],
    floor: Float[Tensor, ""],
    least: Float[Tensor, ""],
    most: Float[Tensor, ""],
) -> Float[Tensor, " B"]:
    """`(variance - floor) / (most - least)`, (B,); equation 3 and its other readings.

    * `activations`, as equation 3 is printed: `floor = least`, and `least` and `most` are those of
      all activations of the batch.
    * `variances`: `floor = least`, and `least` and `most` are those of the batch's variances, so
      that v fills 0 to 1.
    * `running_minimum`, the authors' code: as `variances`, but `floor` is the least variance of all
      batches so far, so that v exceeds 1.

    Where `most` and `least` differ by rounding only, as in a batch of one, v is 0 for all.
    """
    spread = most - least
    # Our choice: equal numbers, summed in another order, differ by some units in the last place.
    equal = spread <= 8 * torch.finfo(spread.dtype).eps * torch.maximum(most.abs(), least.abs())
    return torch.where(equal, 0.0, (variance - floor) / torch.where(equal, 1.0, spread))


def weights(
    v: Float[Tensor, " B"], *, alpha: float, beta: float, formula: str
) -> Float[Tensor, " B"]:
    """Weights of scaled variances, (B,), before any clamping.

    * `paper`: exp(alpha v) - beta, equation 6; .7 at v = 0, 1.05 at v = 1.
    * `checkpoints`: exp(beta v) - 1 + alpha, as in the code from 2021 with which the published
      checkpoints were made; .3 at v = 0, .65 at v = 1.
    """
    return (alpha * v).exp() - beta if formula == "paper" else (beta * v).expm1() + alpha


def _extremes(values: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The least and greatest number, over all processes."""
    least, most = (edge.to(dtype) for edge in values.aminmax())
    if _is_single():
        return least, most
    both = torch.stack([least, -most])
    distributed.all_reduce(both, distributed.ReduceOp.MIN)
    return both[0], -both[1]


def _mean(values: Tensor) -> Tensor:
    """The mean over all processes, which have equally many."""
    mean = values.mean()
    if not _is_single():
        distributed.all_reduce(mean)
        mean = mean / distributed.get_world_size()
    return mean


def _is_single() -> bool:
    """Whether this process trains alone, so that nothing has to be exchanged."""
    return not (distributed.is_available() and distributed.is_initialized())
