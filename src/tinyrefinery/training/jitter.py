"""Adversarial jittering: crops changed so that refiner and network agree less (Label Refinery).

Section 3.1, equation 3, and Table 3 of arXiv 1805.02641: one step of gradient ascent on the
divergence between the refiner's label of a crop and the network's output, with respect to the
crop's pixels, x' = x + eta * d KL(refiner(x) || network(x)) / dx with eta = 1. The jittered crop is
labeled again by the refiner, and is trained on in one batch with the natural one. There is no
published code; what the paper leaves open is an option (`options.training.Jitter`).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, one_hot
from torch.nn.modules.batchnorm import _BatchNorm

from tinyrefinery.data.batches import Size, View
from tinyrefinery.data.transforms import normalize_
from tinyrefinery.errors import DataError
from tinyrefinery.labels.batch_norm import SMALLEST_GROUP
from tinyrefinery.labels.policy import RefinedLabels
from tinyrefinery.labels.refiner import NO_OTHER_SIZE
from tinyrefinery.layers.modes import evaluation_mode
from tinyrefinery.layers.synced_norm import process_count
from tinyrefinery.losses.targets import SparseTargets, Targets
from tinyrefinery.options.training import Jitter
from tinyrefinery.shapes import Float, Float32


def divergences(
    labels: Float[Tensor, "B K"], logits: Float[Tensor, "B K"], direction: str
) -> Float[Tensor, " B"]:
    """KL divergence of each crop between label (B, K) and output (logits), (B,), in nats.

    Differentiable in both, also where a label has a probability of 0.
    """
    wide = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
    log_p, labels = wide.log_softmax(dim=1), labels.to(wide.dtype)
    log_t = labels.clamp_min(torch.finfo(wide.dtype).tiny).log()
    if direction == "label_to_output":
        return (labels * (log_t - log_p)).sum(dim=1)
    return (log_p.exp() * (log_p - log_t)).sum(dim=1)


def ascend(
    images: Float[Tensor, "B C h w"], gradient: Float[Tensor, "B C h w"], step: float, norm: str
) -> Float[Tensor, "B C h w"]:
    """Crops (B, C, h, w) one step along a gradient of their shape.

    Args:
        images: normalized crops.
        gradient: of a figure that is to grow, by each pixel.
        step: in normalized pixel units; of `l2`, the length of the whole crop's step.
        norm: `gradient`: x + step * g, as printed; `sign`: x + step * sign(g), every pixel by the
            same; `l2`: x + step * g / ||g||, every crop by the same.
    """
    if norm == "sign":
        gradient = gradient.sign()
    elif norm == "l2":
        length = gradient.flatten(1).norm(dim=1)
        gradient = gradient / length.clamp_min(1e-12)[:, None, None, None]
    return images + step * gradient


@contextmanager
def at_rest(network: nn.Module, *, batch_statistics: bool) -> Iterator[None]:
    """Run a network without leaving a trace: no dropout, no change of running statistics.

    Args:
        network: in training mode, to which it returns afterwards.
        batch_statistics: whether batch normalization uses the statistics of the batch; else the
            running ones.
    """
    # Batch normalization of frozen parts isn't among them: it uses running statistics anyway.
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


class CropJitter:
    """Makes jittered crops and their labels for a network in training."""

    def __init__(self, part: Jitter, policy: RefinedLabels) -> None:
        """Jitter crops that `policy` labels.

        Args:
            part: the options.
            policy: whose refiner labels the crops; of level crop.
        """
        self.part, self.policy = part, policy
        self.refiner = policy.crop_labels.refiner
        self.bounds = black_and_white(policy.crop_labels.view) if part.clamp else None

    def __call__(
        self,
        images: Float[Tensor, "B C h w"],
        targets: Targets,
        network: nn.Module,
        at: Mapping[Size, Tensor] = NO_OTHER_SIZE,
    ) -> tuple[Float[Tensor, "N C h w"], Targets]:
        """Add jittered crops to a batch: the natural ones first, (B + J, C, h, w) and (B + J, K).

        Args:
            images: natural crops, (B, C, h, w).
            targets: theirs, (B, K).
            network: the one in training; its weights, gradients and statistics stay as they are.
            at: the natural crops at the refiner's other sizes.

        Raises:
            DataError: when one crop would have to share batch statistics with itself only.
        """
        least = SMALLEST_GROUP if self.refiner.depends_on_batch else 1
        if len(images) < least:
            raise DataError(
                "jitter: a batch of one crop has no others to share batch statistics with; use a "
                "larger batch_size or labels.batch_norm: running"
            )
        count = max(least, round(self.part.share * len(images)))  # J
        # All crops take part in the step, (B, ...), since they share batch statistics; J are kept.
        jittered = self._ascend(images, targets, network, at)[:count]
        labels = self._label(images, jittered, at)
        if self.policy.part.hard:
            labels = one_hot(labels.argmax(dim=1), labels.shape[1]).float()
        return torch.cat([images, jittered]), _append(targets, labels)

    def _group_count(self, crops: int) -> int:
        """BN groups that a batch is cut into, as even as can be; a batch is one group by default.

        Groups larger than the batch have no more than the batch: jittered crops exist for it only.
        """
        if not self.refiner.depends_on_batch:
            return 1
        return max(1, round(crops / self.policy.crop_labels.plan.group))

    def _ascend(
        self,
        images: Float[Tensor, "B C h w"],
        targets: Targets,
        network: nn.Module,
        at: Mapping[Size, Tensor] = NO_OTHER_SIZE,
    ) -> Float[Tensor, "B C h w"]:
        """The jittered form of each crop, (B, C, h, w)."""
        part = self.part
        with torch.enable_grad(), at_rest(network, batch_statistics=part.batch_norm == "batch"):
            pixels = images.detach().requires_grad_()
            if part.through_refiner:
                # The label moves with the crop: the refiner is part of what is differentiated.
                count = self._group_count(len(pixels))
                groups = _split(pixels, moved(at, images, pixels), count)
                labels = torch.cat([self.refiner.differentiable(*group) for group in groups])
            else:
                labels = targets.dense() if isinstance(targets, SparseTargets) else targets
            divergence = divergences(labels, network(pixels), part.direction)  # (B,)
            # The mean is over the crops of all processes.
            mean = divergence.mean() / process_count()
            total = divergence.sum() if part.average == "crop" else mean
            (gradient,) = torch.autograd.grad(total, pixels)
        jittered = ascend(images, gradient, part.step, part.norm)
        return jittered if self.bounds is None else jittered.clamp(*self.bounds)

    def _label(
        self,
        images: Float[Tensor, "B C h w"],
        jittered: Float[Tensor, "J C h w"],
        at: Mapping[Size, Tensor],
    ) -> Float32[Tensor, "J K"]:
        """The refiner's labels of the jittered crops, (J, K)."""
        count = min(self._group_count(len(images)), max(1, len(jittered) // SMALLEST_GROUP))
        apart = self.part.refiner_batch == "jittered" or not self.refiner.depends_on_batch
        first = {size: natural[: len(jittered)] for size, natural in at.items()}
        jittered_at = moved(first, images[: len(jittered)], jittered)
        labels = []
        for (natural, natural_at), (group, group_at) in zip(
            _split(images, at, count), _split(jittered, jittered_at, count), strict=True
        ):
            # Natural crops only lend their statistics: the last of the labels are the jittered's.
            batch = group if apart else torch.cat([natural, group])
            batch_at = {
                size: pixels if apart else torch.cat([natural_at[size], pixels])
                for size, pixels in group_at.items()
            }
            labels.append(self.refiner(batch, batch_at)[-len(group) :])
        return torch.cat(labels)


def moved(at: Mapping[Size, Tensor], images: Tensor, jittered: Tensor) -> dict[Size, Tensor]:
    """Natural crops at other sizes, changed as `jittered` differs from `images`.

    The change is scaled up or down to each size, and a gradient flows through it.
    """
    change = jittered - images  # (B, C, h, w) -> (B, C, size)
    return {
        size: natural + interpolate(change, size, mode="bilinear", antialias=True)
        for size, natural in at.items()
    }


def _split(
    images: Tensor, at: Mapping[Size, Tensor], count: int
) -> list[tuple[Tensor, dict[Size, Tensor]]]:
    """Crops and their other sizes, cut into `count` groups as even as can be."""
    others = {size: pixels.tensor_split(count) for size, pixels in at.items()}
    return [
        (group, {size: groups[number] for size, groups in others.items()})
        for number, group in enumerate(images.tensor_split(count))
    ]


def black_and_white(view: View) -> tuple[Tensor, Tensor]:
    """The darkest and brightest pixel as a view normalizes them, (1, C, 1, 1) each."""
    shape = (1, view.dataset.images.channels, 1, 1)
    black, white = (
        normalize_(torch.full(shape, value, device=view.device), view.mean, view.std)
        for value in (0.0, 255.0)
    )
    return black, white


def _append(natural: Targets, jittered: Tensor) -> Targets:
    """Targets of both; where the natural ones keep the top classes only, so do the others."""
    if not isinstance(natural, SparseTargets):
        return torch.cat([natural, jittered.to(natural.dtype)])
    probability, index = jittered.topk(natural.index.shape[1], dim=1)  # (J, K) -> (J, k)
    return SparseTargets(
        torch.cat([natural.index, index]),
        torch.cat([natural.probability, probability.to(natural.probability.dtype)]),
        natural.classes,
    )
