"""Average precision as defined by Pascal VOC: eleven points (2007) and area (from 2010 on).

These are the rules of the development kit, which not all packages follow. A detected box is
compared to the ground-truth box that it overlaps most, and is wrong if that one is already matched.
The overlap must be at least one half (`ovmax>=VOCopts.minoverlap`; the articles say above one
half). A box that overlaps a difficult object counts neither as correct nor as wrong. Overlaps are
those of continuous boxes. For whole pixels, they are equal to the kit's, where both corners belong
to a box.

No maintained package has the eleven-point metric, so it is implemented here. COCO's metrics are
from pycocotools.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinyrefinery.detection.boxes import GroundTruth
from tinyrefinery.detection.detections import Detections

OVERLAP = 0.5


@dataclass(frozen=True)
class Curve:
    """Precision and recall of one class, as boxes are added in order of probability."""

    recall: np.ndarray
    """(n,) from 0 to 1."""
    precision: np.ndarray
    """(n,) from 0 to 1."""
    objects: int
    """Number of ground-truth objects that are not difficult."""


def curve(
    truth: Sequence[GroundTruth],
    detections: Sequence[Detections],
    label: int,
    overlap: float = OVERLAP,
) -> Curve:
    """Compute the curve of a class over all images. Ties are in the order of the images."""
    of_class = [(t.boxes[t.labels == label], t.difficult[t.labels == label]) for t in truth]
    objects = sum(int((~hard).sum()) for _, hard in of_class)
    matched = [np.zeros(len(boxes), bool) for boxes, _ in of_class]
    ranked = [
        (-float(score), image, number)
        for image, boxes in enumerate(detections)
        for number, score in enumerate(boxes.scores)
        if boxes.labels[number] == label
    ]
    correct = []
    for _, image, number in sorted(ranked):
        boxes, hard = of_class[image]
        overlaps = _overlaps(detections[image].boxes[number], boxes)
        best = int(overlaps.argmax()) if len(boxes) else -1
        if best < 0 or overlaps[best] < overlap:
            correct.append(False)
        elif not hard[best]:
            correct.append(not matched[image][best])
            matched[image][best] = True
    hits = np.cumsum(correct, dtype=np.float64)
    precision = hits / np.arange(1, len(correct) + 1, dtype=float)
    return Curve(hits / max(objects, 1), precision, objects)


def _overlaps(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """IoU of a box (4,) with boxes (n, 4)."""
    box, boxes = box.astype(np.float64), boxes.astype(np.float64)
    shared = (np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])).clip(0)
    area = shared.prod(axis=1)
    return area / ((box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - area)


def eleven_points(curve: Curve) -> float:
    """Mean over recalls 0, .1, ... 1 of the highest precision at this or a higher recall."""
    # The tolerance is for rounding: three of ten objects must reach a recall of .3.
    reached = [curve.recall >= tenth / 10 - 1e-9 for tenth in range(11)]
    return float(np.mean([curve.precision[points].max(initial=0) for points in reached]))


def area(curve: Curve) -> float:
    """Area under the highest precision at each or a higher recall."""
    highest = np.maximum.accumulate(curve.precision[::-1])[::-1]
    return float((np.diff(curve.recall, prepend=0.0) * highest).sum())


def voc_measures(
    truth: Sequence[GroundTruth], detections: Sequence[Detections], classes: Sequence[str]
) -> dict[str, dict[str, float]]:
    """`ap11`, `ap_area`, `recall` and `objects` of each class with ground-truth objects."""
    curves = {name: curve(truth, detections, label) for label, name in enumerate(classes)}
    return {
        name: {
            "ap11": eleven_points(points),
            "ap_area": area(points),
            "recall": float(points.recall.max(initial=0)),
            "objects": points.objects,
        }
        for name, points in curves.items()
        if points.objects
    }
