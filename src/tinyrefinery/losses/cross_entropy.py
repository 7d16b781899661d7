"""Cross-entropy with distributions as targets (Label Refinery, equation 1)."""

from torch import Tensor

from tinyrefinery.losses.distributions import comparable
from tinyrefinery.losses.targets import SparseTargets, Targets


def cross_entropy(logits: Tensor, targets: Targets, features: Tensor | None = None) -> Tensor:
    """Mean over the batch of -sum_k t_k log p_k, in nats.

    It is least where p = t, and then equals the entropy of t, which is 0 for a hard target only.

    Args:
        logits: (B, K), before the softmax.
        targets: (B, K), rows sum to one; dense or sparse.
        features: not used.
    """
    return cross_entropies(logits, targets).mean()


def cross_entropies(logits: Tensor, targets: Targets) -> Tensor:
    """The cross-entropy of each crop, (B,), in nats; see `cross_entropy`."""
    log_p, t = comparable(logits, targets)
    return -t.dot(log_p) if isinstance(t, SparseTargets) else -(t * log_p).sum(1)
