"""SSD's loss: classes with the hardest negatives only, and offsets (SSD, section 2.2)."""

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
    """(cross-entropy + smooth L1) / matched boxes of the batch, at least 1; a scalar.

    The cross-entropy sums over the default boxes with an object and, of each image, over the worst
    of those without: `negatives` times as many as there are with one, and at least
    `least_negatives`, without which an image without objects would teach nothing. The smooth L1
    distance of the offsets sums over the boxes with an object. With least_negatives = 0 it is the
    sum of the two losses of torchvision's SSD.

    Args:
        logits: (B, A, 4 + C): offsets, then logits of the C classes, the background first.
        targets: (B, A, 5), as `MatchedBoxes` gives them.
        features: not looked at; as every loss takes them.
        negatives: see above.
        least_negatives: see above.
    """
    assert isinstance(targets, Tensor)
    offsets, scores = logits[..., :4].float(), logits[..., 4:].float()
    classes = targets[..., 0].long()
    matched = classes > 0
    each = F.cross_entropy(scores.flatten(0, 1), classes.flatten(), reduction="none")
    each = each.view_as(classes)
    wanted = (negatives * matched.sum(dim=1)).floor().clamp(min=least_negatives)
    hardness = each.detach().masked_fill(matched, -torch.inf)
    rank = hardness.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    counted = matched | ((rank < wanted[:, None]) & ~matched)
    distance = F.smooth_l1_loss(offsets[matched], targets[..., 1:][matched], reduction="sum")
    return (each[counted].sum() + distance) / matched.sum().clamp(min=1)


def matched_right(logits: Tensor, targets: Targets, labels: Tensor) -> Tensor:
    """Sum over the images of the share of matched boxes whose most probable class is right.

    Args:
        logits: (B, A, 4 + C), offsets first.
        targets: (B, A, 5).
        labels: not looked at. An image without matched boxes counts as right.
    """
    assert isinstance(targets, Tensor)
    classes = targets[..., 0].long()
    matched = classes > 0
    right = ((logits[..., 4:].argmax(dim=2) == classes) & matched).sum(dim=1)
    count = matched.sum(dim=1)
    return torch.where(count > 0, right / count.clamp(min=1), 1.0).sum()
