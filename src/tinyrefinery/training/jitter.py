"""Adversarial jittering: crops changed so that refiner and network agree less (Label Refinery).

Section 3.1, equation 3, and Table 3 of arXiv 1805.02641: one step of gradient ascent on the
divergence between the refiner's label of a crop and the network's output, with respect to the
crop's pixels, x' = x + eta * d KL(refiner(x) || network(x)) / dx with eta = 1. The jittered crop is
labelled by the refiner anew, and is trained on in one batch with the natural one. There is no
published code; what the paper leaves open is an option here, each with its reason.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.nn.modules.batchnorm import _BatchNorm

from tinyrefinery.errors import DataError
from tinyrefinery.labels.batch_norm import SMALLEST_GROUP
from tinyrefinery.labels.policy import Refined
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.layers.modes import evaluation_mode
from tinyrefinery.losses.targets import SparseTargets, Targets

Form = Literal["gradient", "sign", "l2"]
Direction = Literal["label_to_output", "output_to_label"]


def divergences(labels: Tensor, logits: Tensor, direction: Direction = "label_to_output") -> Tensor:
    """KL divergence of each crop between label (B, K) and output (logits), (B,), in nats.

    Differentiable in both, also where a label has a probability of 0.
    """
    wide = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
    log_p, labels = wide.log_softmax(dim=1), labels.to(wide.dtype)
    log_t = labels.clamp_min(torch.finfo(wide.dtype).tiny).log()
    if direction == "label_to_output":
        return (labels * (log_t - log_p)).sum(dim=1)
    return (log_p.exp() * (log_p - log_t)).sum(dim=1)


def ascend(images: Tensor, gradient: Tensor, step: float, form: Form = "gradient") -> Tensor:
    """Crops (B, C, h, w) one step along a gradient of their shape.

    Args:
        images: normalized crops.
        gradient: of a figure that is to grow, for each pixel.
        step: in normalized pixel units; of `l2`, the length of the whole crop's step.
        form: `gradient`: x + step * g, as printed; `sign`: x + step * sign(g), every pixel by the
            same; `l2`: x + step * g / ||g||, every crop by the same.
    """
    if form == "sign":
        gradient = gradient.sign()
    elif form == "l2":
        length = gradient.flatten(1).norm(dim=1)
        gradient = gradient / length.clamp_min(1e-12)[:, None, None, None]
    return images + step * gradient


@contextmanager
def at_rest(network: nn.Module, *, batch_statistics: bool) -> Iterator[None]:
    """Let a network be asked without a trace: no dropout, no change of running statistics.

    Args:
        network: as in training; it is so again afterwards.
        batch_statistics: whether batch normalization that is in training uses those of the batch or
            the running ones.
    """
    # Those of frozen parts use their running statistics in training too.
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.training]
    kept = [norm.track_running_stats for norm in norms]
    with evaluation_mode(network):
        try:
            for norm in norms if batch_statistics else ():
                # In this state PyTorch neither reads nor writes the running statistics.
                norm.training, norm.track_running_stats = True, False
            yield
        finally:
            for norm, tracks in zip(norms, kept, strict=True):
                norm.track_running_stats = tracks


@dataclass(frozen=True)
class Jitter:
    """Makes jittered crops and their labels for a network in training."""

    policy: Refined
    """Whose refiner is asked; labels of crops."""
    step: float = 1.0
    """eta, in normalized pixel units; 1 in the paper."""
    norm: Form = "gradient"
    """What a step is long: see `ascend`."""
    average: Literal["crop", "batch"] = "crop"
    """crop: gradient of the sum of divergences, so that a crop moves by its own (and, where batch
    statistics are used, by what it does to its mates); batch: of their mean, 1 / B of it."""
    direction: Direction = "label_to_output"
    """Which divergence grows; that of equation 1."""
    through_refiner: bool = True
    """Whether the gradient flows through the label too, which depends on the crop as well."""
    batch_norm: Literal["batch", "running"] = "batch"
    """Statistics of the network in training while its gradient is taken."""
    mates: Literal["all", "jittered"] = "all"
    """Crops that share the refiner's batch statistics with a jittered one: the natural ones of its
    batch too, or the jittered ones only."""
    bounds: tuple[Tensor, Tensor] | None = None
    """Black and white as normalized pixels, (1, C, 1, 1) each, to clamp to; None: no clamping."""
    share: float = 1.0
    """Share of the batch's crops that are jittered, in (0, 1]."""

    def __call__(
        self, images: Tensor, targets: Targets, network: nn.Module
    ) -> tuple[Tensor, Targets]:
        """Add jittered crops to a batch: the natural ones first, (B + J, C, h, w) and (B + J, K).

        Args:
            images: natural crops, (B, C, h, w).
            targets: theirs, (B, K).
            network: the one in training; its weights, gradients and statistics stay as they are.

        Raises:
            DataError: when one crop would have to share batch statistics with itself only.
        """
        least = SMALLEST_GROUP if self.refiner.depends_on_mates else 1
        if len(images) < least:
            raise DataError(
                "jitter: a batch of one crop has no others to share batch statistics with; use a "
                "larger batch_size or labels.batch_norm: running"
            )
        count = max(least, round(self.share * len(images)))
        jittered = self._ascended(images, targets, network)[:count]
        labels = self._labels(images, jittered)
        if self.policy.hard:
            labels = one_hot(labels.argmax(dim=1), labels.shape[1]).float()
        return torch.cat([images, jittered]), _joined(targets, labels)

    @property
    def refiner(self) -> Refiner:
        """Who labels jittered crops."""
        return self.policy.crop_labels.refiner

    def _parts(self, crops: int) -> int:
        """BN groups that a batch is cut into, as even as can be; a batch is one group by default.

        Groups larger than the batch have no more than the batch: jittered crops exist for it only.
        """
        if not self.refiner.depends_on_mates:
            return 1
        return max(1, round(crops / self.policy.crop_labels.plan.group))

    def _ascended(self, images: Tensor, targets: Targets, network: nn.Module) -> Tensor:
        """The jittered form of each crop, (B, C, h, w)."""
        batch_statistics = self.batch_norm == "batch"
        with torch.enable_grad(), at_rest(network, batch_statistics=batch_statistics):
            pixels = images.detach().requires_grad_()
            if self.through_refiner:
                parts = pixels.tensor_split(self._parts(len(pixels)))
                labels = torch.cat([self.refiner.differentiable(part) for part in parts])
            else:
                labels = targets.dense() if isinstance(targets, SparseTargets) else targets
            apart = divergences(labels, network(pixels), self.direction)
            total = apart.sum() if self.average == "crop" else apart.mean()
            (gradient,) = torch.autograd.grad(total, pixels)
        moved = ascend(images, gradient, self.step, self.norm)
        return moved if self.bounds is None else moved.clamp(*self.bounds)

    def _labels(self, images: Tensor, jittered: Tensor) -> Tensor:
        """The refiner's labels of the jittered crops, (J, K)."""
        parts = min(self._parts(len(images)), max(1, len(jittered) // SMALLEST_GROUP))
        alone = self.mates == "jittered" or not self.refiner.depends_on_mates
        found = []
        for natural, moved in zip(
            images.tensor_split(parts), jittered.tensor_split(parts), strict=True
        ):
            shown = moved if alone else torch.cat([natural, moved])
            found.append(self.refiner(shown)[-len(moved) :])
        return torch.cat(found)


def _joined(natural: Targets, jittered: Tensor) -> Targets:
    """Targets of both; where the natural ones keep the top classes only, so do the others."""
    if not isinstance(natural, SparseTargets):
        return torch.cat([natural, jittered.to(natural.dtype)])
    probability, index = jittered.topk(natural.index.shape[1], dim=1)
    return SparseTargets(
        torch.cat([natural.index, index]),
        torch.cat([natural.probability, probability.to(natural.probability.dtype)]),
        natural.classes,
    )
