"""Distances between a refined label and the output: the losses of Label Refinery, Table 7."""

import torch
from torch import Tensor

from tinyrefinery.losses.distributions import comparable
from tinyrefinery.losses.targets import SparseTargets, Targets
from tinyrefinery.shapes import Float


def kl(
    logits: Tensor,
    targets: Targets,
    features: Tensor | None = None,
    *,
    direction: str,
    floor: float,
) -> Float[Tensor, ""]:
    """Mean over the batch of a Kullback-Leibler divergence between label t and output p, in nats.

    * `label_to_output`: sum_k t_k (log t_k - log p_k); the paper's choice (equation 1). It differs
      from the cross-entropy by the entropy of t only, so its gradient is the same. 0 log 0 is 0.
    * `output_to_label`: sum_k p_k (log p_k - log t_k), which is infinite where a label is 0, as all
      but one entry of a hard label are. Labels are therefore raised to `floor` and divided by their
      new sum; a label with no entry below `floor` stays as it is.

    Either is 0 where p = t (after flooring), and positive elsewhere.

    Args:
        logits: (B, K), before the softmax.
        targets: (B, K), rows sum to one; dense or sparse.
        features: not used.
        direction: which of the two.
        floor: see `options.losses.Kl`; for `output_to_label` only.
    """
    log_p, t = comparable(logits, targets)
    if direction == "label_to_output":
        if isinstance(t, SparseTargets):
            return (t.negative_entropy() - t.dot(log_p)).mean()
        return (torch.xlogy(t, t) - t * log_p).sum(1).mean()
    if isinstance(t, SparseTargets):
        return (log_p.exp() * t.log_ratio_of(log_p, floor)).sum(1).mean()
    raised = t.clamp_min(floor)
    log_t = (raised / raised.sum(1, keepdim=True)).log()
    return (log_p.exp() * (log_p - log_t)).sum(1).mean()


def l2(logits: Tensor, targets: Targets, features: Tensor | None = None) -> Float[Tensor, ""]:
    """Mean over the batch of sum_k (p_k - t_k)^2: the squared distance of the two distributions.

    Between 0 and 2. Its gradient vanishes where the output is certain, right or wrong, so it learns
    slowly from a bad start.

    Args:
        logits: (B, K), before the softmax.
        targets: (B, K), rows sum to one; dense or sparse.
        features: not used.
    """
    log_p, t = comparable(logits, targets)
    if isinstance(t, SparseTargets):
        return t.distance_of(log_p.exp()).square().sum(1).mean()
    return (log_p.exp() - t).square().sum(1).mean()
