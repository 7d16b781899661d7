"""All measures of a detector on a split."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyrefinery.detection.boxes import BoxData
from tinyrefinery.detection.coco_measure import coco_measures
from tinyrefinery.detection.detections import Detections
from tinyrefinery.detection.voc_measure import voc_measures


def measures(
    data: BoxData, rows: np.ndarray, detections: Sequence[Detections], *, coco: bool = True
) -> dict[str, Any]:
    """VOC's and COCO's measures, 0 to 1.

    Args:
        data: the images.
        rows: numbers of the images that were predicted.
        detections: detected boxes per image.
        coco: compute COCO's measures too, which takes longer.

    Returns:
        `map11`, `map_area`: means over the classes with objects, None without objects.
        `classes`: the measures per class, see `voc_measures`.
        `blind_map11`: `map11` of the boxes from `blind`, None without training images.
        `coco`: see `coco_measures`.
        `images`, `objects`: numbers of images and of objects that are not difficult.
    """
    truth = [data.truth[row] for row in rows]
    by_class = voc_measures(truth, detections, data.classes)
    result = {
        "map11": _mean([values["ap11"] for values in by_class.values()]),
        "map_area": _mean([values["ap_area"] for values in by_class.values()]),
        "classes": by_class,
        "images": len(rows),
        "objects": int(sum(values["objects"] for values in by_class.values())),
        "blind_map11": None,
    }
    if len(data.rows("train")):
        blind_by_class = voc_measures(truth, blind(data, rows), data.classes)
        result["blind_map11"] = _mean([values["ap11"] for values in blind_by_class.values()])
    if coco:
        sizes = data.images.sizes[rows]
        result["coco"] = coco_measures(truth, detections, sizes, data.classes)
    return result


def blind(data: BoxData, rows: np.ndarray) -> list[Detections]:
    """The boxes of a control that ignores the image: each class's median training box.

    Where objects fill the middle of most images, this control scores surprisingly well, so compare
    a detector's measures with it. The probability of a box is the share of training images that
    show its class.
    """
    sizes = np.tile(data.images.sizes[:, ::-1], 2).astype(np.float64)
    train = data.rows("train")
    boxes, labels, scores = [], [], []
    for label in range(len(data.classes)):
        class_boxes = [data.truth[r].boxes[data.truth[r].labels == label] / sizes[r] for r in train]
        if shown := sum(len(image) > 0 for image in class_boxes):
            boxes.append(np.median(np.concatenate(class_boxes), axis=0))
            labels.append(label)
            scores.append(shown / len(train))
    order = np.argsort(-np.array(scores), kind="stable")
    share = np.array(boxes).reshape(-1, 4)[order]
    ranked_labels = np.array(labels, np.int64)[order]
    ranked_scores = np.array(scores, np.float32)[order]
    return [
        Detections((share * sizes[row]).astype(np.float32), ranked_labels, ranked_scores)
        for row in rows
    ]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
