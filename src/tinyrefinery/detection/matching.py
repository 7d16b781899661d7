"""Which default boxes stand for which objects: the targets of a detector's training.

SSD, section 2.2: each object gets the default box that overlaps it most; further, every default box
that overlaps an object by at least the threshold stands for the one it overlaps most. The first
step is done as in the authors' code, one object after the other, the largest overlap first, so that
two objects never share a box (torchvision's `SSDMatcher` lets the last one have it).
"""

import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import box_iou

from tinyrefinery.data.batches import Batch

CODER = BoxCoder(weights=(10.0, 10.0, 5.0, 5.0))
"""Offsets from default boxes; the weights are the inverse variances .1 and .2 of SSD's code."""


def match(overlaps: Tensor, threshold: float) -> Tensor:
    """The object that each default box stands for, (A,) int64; -1 for none.

    Args:
        overlaps: (G, A) IoU of objects with default boxes.
        threshold: least IoU at which a box may stand for an object that has another already.
    """
    if not len(overlaps):
        return overlaps.new_full((overlaps.shape[1],), -1, dtype=torch.int64)
    best, owner = overlaps.max(dim=0)
    owner = torch.where(best >= threshold, owner, -1)
    left = overlaps.clone()
    for _ in range(min(left.shape)):
        object_number, box = divmod(int(left.argmax()), left.shape[1])
        owner[box] = object_number
        left[object_number], left[:, box] = -1, -1
    return owner


class MatchedBoxes:
    """Labels a batch of a `BoxView`: targets (B, A, 5), class from 1 (0: none) and four offsets."""

    def __init__(self, default_boxes: Tensor, threshold: float = 0.5) -> None:
        """Match with `default_boxes`, (A, 4) in pixels of the input."""
        self.default_boxes, self.threshold = default_boxes, threshold

    def __call__(self, batch: Batch) -> Tensor:
        """Targets (B, A, 5), float32; the offsets of boxes without object are zero."""
        boxes = self.default_boxes.to(batch.labels.device)
        targets = torch.zeros(len(batch.labels), len(boxes), 5, device=batch.labels.device)
        for target, given in zip(targets, batch.labels, strict=True):
            given = given[given[:, 4] > 0]
            owner = match(box_iou(given[:, :4], boxes), self.threshold)
            taken = owner >= 0
            own = given[owner[taken]]
            target[taken, 0] = own[:, 4]
            target[taken, 1:] = CODER.encode_single(own[:, :4], boxes[taken])
        return targets
