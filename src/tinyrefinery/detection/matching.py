"""Matching default boxes to objects: the targets of a detector's training.

SSD, section 2.2: each object is matched to the default box with the largest overlap. In addition,
every default box that overlaps an object by at least the threshold is matched to the object that it
overlaps most. As in the authors' code, the first step matches one object after the other, the
largest overlap first, so that no two objects share a box. In torchvision's `SSDMatcher`, the last
one gets it.
"""

import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import box_iou

from tinyrefinery.data.batches import Batch

CODER = BoxCoder(weights=(10.0, 10.0, 5.0, 5.0))
"""Offsets from default boxes. The weights are the inverse variances .1 and .2 in SSD's code."""


def match(overlaps: Tensor, threshold: float) -> Tensor:
    """Match each default box to an object, (A,) int64, -1 for none.

    Args:
        overlaps: (G, A) IoU of objects with default boxes.
        threshold: smallest IoU for further matches of an object.
    """
    if not len(overlaps):
        return overlaps.new_full((overlaps.shape[1],), -1, dtype=torch.int64)
    best, owner = overlaps.max(dim=0)
    owner = torch.where(best >= threshold, owner, -1)
    # Give each object its best box: repeatedly take the largest overlap that is left.
    left = overlaps.clone()
    for _ in range(min(left.shape)):
        object_number, box = divmod(int(left.argmax()), left.shape[1])
        owner[box] = object_number
        left[object_number], left[:, box] = -1, -1
    return owner


class MatchedBoxes:
    """The label policy of detectors: matches the objects of a `BoxView` batch to default boxes."""

    def __init__(self, default_boxes: Tensor, threshold: float = 0.5) -> None:
        """Store `default_boxes`, (A, 4) in pixels of the input, and the threshold for `match`."""
        self.default_boxes, self.threshold = default_boxes, threshold

    def __call__(self, batch: Batch) -> Tensor:
        """Targets (B, A, 5) float32: class from 1, or 0 for none, and four offsets, or zeros."""
        boxes = self.default_boxes.to(batch.labels.device)
        targets = torch.zeros(len(batch.labels), len(boxes), 5, device=batch.labels.device)
        for target, objects in zip(targets, batch.labels, strict=True):
            objects = objects[objects[:, 4] > 0]  # without padding
            owner = match(box_iou(objects[:, :4], boxes), self.threshold)
            matched = owner >= 0
            owners = objects[owner[matched]]
            target[matched, 0] = owners[:, 4]
            target[matched, 1:] = CODER.encode_single(owners[:, :4], boxes[matched])
        return targets
