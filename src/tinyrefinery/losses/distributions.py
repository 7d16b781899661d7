"""What every loss does first: check the shapes and leave half precision."""

import torch
from torch import Tensor
from torch.nn import functional as F

from tinyrefinery.losses.targets import SparseTargets, Targets
from tinyrefinery.shapes import Float

_HALF = (torch.bfloat16, torch.float16)


def comparable(logits: Tensor, targets: Targets) -> tuple[Float[Tensor, "B K"], Targets]:
    """Log-probabilities of the network and the targets, both (B, K), in float32 or better.

    Sparse targets stay sparse.

    Raises:
        ValueError: when the shapes differ; broadcasting would hide a mistake.
    """
    if logits.ndim != 2 or logits.shape != targets.shape:
        raise ValueError(
            f"logits {tuple(logits.shape)} and targets {tuple(targets.shape)} "
            "must both be (batch, classes)"
        )
    wide = logits.float() if logits.dtype in _HALF else logits
    log_p = F.log_softmax(wide, dim=1)
    if isinstance(targets, SparseTargets):
        return log_p, targets.to(dtype=wide.dtype)
    return log_p, targets.to(wide.dtype)
