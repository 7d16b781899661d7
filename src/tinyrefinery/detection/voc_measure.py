"""Average precision as Pascal VOC defines it: eleven points (2007) and the area (from 2010 on).

The rules of the development kit, which other packages don't all keep: a found box is compared with
the given box that it overlaps most, and if that one is taken already it is wrong; the overlap must
be at least one half (`ovmax>=VOCopts.minoverlap`; the articles say above one half); what overlaps a
difficult object counts neither way. Overlaps are those of the continuous boxes, which for whole
pixels are the kit's (there both corners belong to a box).

No well-kept package has the eleven points, hence these lines. COCO's measures are pycocotools'.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinyrefinery.detection.boxes import Given
from tinyrefinery.detection.detections import Found

OVERLAP = 0.5


@dataclass(frozen=True)
class Curve:
    """Precision and recall of one class as boxes are added, the most probable first."""

    recall: np.ndarray
    """(n,) from 0 to 1."""
    precision: np.ndarray
    """(n,) from 0 to 1."""
    objects: int
    """Given objects that are not difficult."""


def curve(
    given: Sequence[Given], found: Sequence[Found], label: int, overlap: float = OVERLAP
) -> Curve:
    """The curve of a class over the images; equal scores in the order of the images."""
    own = [
        (each.boxes[each.labels == label], each.difficult[each.labels == label]) for each in given
    ]
    objects = sum(int((~hard).sum()) for _, hard in own)
    taken = [np.zeros(len(boxes), bool) for boxes, _ in own]
    listed = [
        (-float(score), image, number)
        for image, each in enumerate(found)
        for number, score in enumerate(each.scores)
        if each.labels[number] == label
    ]
    verdicts = []
    for _, image, number in sorted(listed):
        boxes, hard = own[image]
        overlaps = _overlaps(found[image].boxes[number], boxes)
        best = int(overlaps.argmax()) if len(boxes) else -1
        if best < 0 or overlaps[best] < overlap:
            verdicts.append(False)
        elif not hard[best]:
            verdicts.append(not taken[image][best])
            taken[image][best] = True
    right = np.cumsum(verdicts, dtype=np.float64)
    return Curve(
        right / max(objects, 1), right / np.arange(1, len(verdicts) + 1, dtype=float), objects
    )


def _overlaps(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """IoU of a box (4,) with boxes (n, 4)."""
    box, boxes = box.astype(np.float64), boxes.astype(np.float64)
    shared = (np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])).clip(0)
    area = shared.prod(axis=1)
    return area / ((box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - area)


def eleven_points(curve: Curve) -> float:
    """Mean over recalls 0, .1, ... 1 of the highest precision at that recall or a higher one."""
    # The recalls as tenths: .3 of ten objects must be reached by three, whatever floats say.
    reached = [curve.recall >= tenth / 10 - 1e-9 for tenth in range(11)]
    return float(np.mean([curve.precision[which].max(initial=0) for which in reached]))


def area(curve: Curve) -> float:
    """Area below the highest precision at each recall or a higher one."""
    highest = np.maximum.accumulate(curve.precision[::-1])[::-1]
    return float((np.diff(curve.recall, prepend=0.0) * highest).sum())


def voc_measures(
    given: Sequence[Given], found: Sequence[Found], classes: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Of each class that has a given object: `ap11`, `ap_area`, `recall`, `objects`."""
    curves = {name: curve(given, found, label) for label, name in enumerate(classes)}
    return {
        name: {
            "ap11": eleven_points(each),
            "ap_area": area(each),
            "recall": float(each.recall.max(initial=0)),
            "objects": each.objects,
        }
        for name, each in curves.items()
        if each.objects
    }
