"""Cross-entropy with distributions as targets (Label Refinery, equation 1)."""

from torch import Tensor

from tinyrefinery.losses.distributions import comparable
from tinyrefinery.losses.targets import SparseTargets, Targets
from tinyrefinery.shapes import Float


def cross_entropy(
    logits: Tensor, targets: Targets, features: Tensor | None = None
) -> Float[Tensor, ""]:
    """Mean over the batch of -sum_k t_k log p_k, in nats.

    It is least where p = t, and then equals the entropy of t, which is 0 for a hard target only.

    Args:
        logits: (B, K), before the softmax.
        targets: (B, K), rows sum to one; dense or sparse.
        features: not used.
    """
    return cross_entropies(logits, targets).mean()


def cross_entropies(logits: Tensor, targets: Targets) -> Float[Tensor, " B"]:
    """The cross-entropy of each crop, (B,), in nats; see `cross_entropy`."""
    log_p, t = comparable(logits, targets)
    return -t.dot(log_p) if isinstance(t, SparseTargets) else -(t * log_p).sum(1)


def focal(
    logits: Tensor, targets: Targets, features: Tensor | None = None, *, gamma: float
) -> Float[Tensor, ""]:
    """Mean over the batch of sum_k t_k (1 - p_k)^gamma (-log p_k).

    This is the focal loss of a hard label, averaged over hard labels drawn from the target. For a
    hard target it is the standard focal loss, at gamma 0 it is the cross-entropy. With gamma > 0
    and a soft target it is not least at p = t but at a flatter p, since it mistrusts certainty.

    Args:
        logits: (B, K), before the softmax.
        targets: (B, K), rows sum to one; dense or sparse.
        features: not used.
        gamma: see `options.losses.Focal`.
    """
    log_p, t = comparable(logits, targets)
    # 1 - p without cancellation; the floor keeps the derivative of x^gamma finite at p = 1.
    doubt = (-log_p.expm1()).clamp_min(1e-12)
    if isinstance(t, SparseTargets):
        return -t.dot(doubt**gamma * log_p).mean()
    return -(t * doubt**gamma * log_p).sum(1).mean()
