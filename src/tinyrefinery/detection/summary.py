"""All measures of a detector on a split."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyrefinery.detection.boxes import BoxData
from tinyrefinery.detection.coco_measure import coco_measures
from tinyrefinery.detection.detections import Found
from tinyrefinery.detection.voc_measure import voc_measures


def measures(
    data: BoxData, rows: np.ndarray, found: Sequence[Found], *, coco: bool = True
) -> dict[str, Any]:
    """VOC's and COCO's measures, 0 to 1.

    Args:
        data: the images.
        rows: those that boxes were predicted for.
        found: what was found in each of them.
        coco: whether to take COCO's too, which costs more.

    Returns:
        `map11`, `map_area`: means over the classes that have objects, None without any; `classes`:
        those of each class, see `voc_measures`; `blind_map11`: that of `blind`, None where there
        are no training images; `coco`: see `coco_measures`; `images`, `objects`: their numbers,
        difficult objects apart.
    """
    given = [data.given[row] for row in rows]
    by_class = voc_measures(given, found, data.classes)
    result = {
        "map11": _mean([each["ap11"] for each in by_class.values()]),
        "map_area": _mean([each["ap_area"] for each in by_class.values()]),
        "classes": by_class,
        "images": len(rows),
        "objects": int(sum(each["objects"] for each in by_class.values())),
        "blind_map11": None,
    }
    if len(data.rows("train")):
        looks_at_nothing = voc_measures(given, blind(data, rows), data.classes)
        result["blind_map11"] = _mean([each["ap11"] for each in looks_at_nothing.values()])
    if coco:
        sizes = data.images.sizes[rows]
        result["coco"] = coco_measures(given, found, sizes, data.classes)
    return result


def blind(data: BoxData, rows: np.ndarray) -> list[Found]:
    """The boxes of a control that ignores the image: each class's median training box.

    Where objects fill the middle of most pictures, this control does surprisingly well, and a
    detector's measures mean what they are above it. The probability of a box is the share of
    training images that show its class.
    """
    sizes = np.tile(data.images.sizes[:, ::-1], 2).astype(np.float64)
    train = data.rows("train")
    boxes, labels, scores = [], [], []
    for label in range(len(data.classes)):
        own = [data.given[r].boxes[data.given[r].labels == label] / sizes[r] for r in train]
        if shown := sum(len(each) > 0 for each in own):
            boxes.append(np.median(np.concatenate(own), axis=0))
            labels.append(label)
            scores.append(shown / len(train))
    order = np.argsort(-np.array(scores), kind="stable")
    share = np.array(boxes).reshape(-1, 4)[order]
    where, certain = np.array(labels, np.int64)[order], np.array(scores, np.float32)[order]
    return [Found((share * sizes[row]).astype(np.float32), where, certain) for row in rows]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
