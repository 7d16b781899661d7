"""SSD's loss: classification with hard negative mining, and offsets (SSD, section 2.2)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from tinyrefinery.losses.targets import Targets


def multibox(
    logits: Tensor,
    targets: Targets,
    features: Tensor | None = None,
    *,
    negatives: float = 3.0,
    least_negatives: int = 0,
) -> Tensor:
    """(cross-entropy + smooth L1) / number of matched boxes in the batch, at least 1; a scalar.

    The cross-entropy is summed over the matched default boxes and the hardest negatives: per image,
    `negatives` times as many as matched ones, and at least `least_negatives`. Otherwise, an image
    without objects would not be learned from. The smooth L1 distance of the offsets is summed over
    the matched boxes. With least_negatives = 0, this is the sum of the two losses of torchvision's
    SSD.

    Args:
        logits: (B, A, 4 + C), offsets, then logits of the C classes, the background first.
        targets: (B, A, 5) from `MatchedBoxes`.
        features: not used. Every loss takes them.
        negatives: negatives per matched box.
        least_negatives: smallest number of negatives per image.
    """
    assert isinstance(targets, Tensor)
    offsets, scores = logits[..., :4].float(), logits[..., 4:].float()
    classes = targets[..., 0].long()  # (B, A)
    matched = classes > 0
    losses = F.cross_entropy(scores.flatten(0, 1), classes.flatten(), reduction="none")
    losses = losses.view_as(classes)  # (B A,) -> (B, A)
    count = (negatives * matched.sum(dim=1)).floor().clamp(min=least_negatives)  # (B,)
    hardness = losses.detach().masked_fill(matched, -torch.inf)
    rank = hardness.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    counted = matched | ((rank < count[:, None]) & ~matched)
    distance = F.smooth_l1_loss(offsets[matched], targets[..., 1:][matched], reduction="sum")
    return (losses[counted].sum() + distance) / matched.sum().clamp(min=1)


def matched_right(logits: Tensor, targets: Targets, labels: Tensor) -> Tensor:
    """Sum over images of the share of matched boxes with the correct class.

    Args:
        logits: (B, A, 4 + C), offsets first.
        targets: (B, A, 5). An image without matched boxes counts as 1.
        labels: not used.
    """
    assert isinstance(targets, Tensor)
    classes = targets[..., 0].long()
    matched = classes > 0
    right = ((logits[..., 4:].argmax(dim=2) == classes) & matched).sum(dim=1)
    count = matched.sum(dim=1)
    return torch.where(count > 0, right / count.clamp(min=1), 1.0).sum()
