"""COCO's average precision, computed by its own authors' pycocotools."""

from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from typing import Any

import numpy as np

from tinyrefinery.detection.boxes import GroundTruth
from tinyrefinery.detection.detections import Detections
from tinyrefinery.errors import RecipeError

NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
"""Of pycocotools' summary, the first six: averaged over IoU .5 to .95; at .5; at .75; by area."""


def check_installed() -> None:
    """Find out before hours of training, not after.

    Raises:
        RecipeError: when pycocotools is missing.
    """
    if find_spec("pycocotools") is None:
        raise RecipeError(
            "detection needs the package pycocotools for COCO's measures: "
            "pip install 'tinyrefinery[detection]'"
        )


def coco_measures(
    truth: Sequence[GroundTruth],
    detections: Sequence[Detections],
    sizes: np.ndarray,
    classes: Sequence[str],
) -> dict[str, float | None]:
    """The measures `NAMES`, 0 to 1; None without objects, or without objects of that size.

    Difficult objects become COCO's crowds: detections inside one count neither as right nor wrong.

    Args:
        truth: objects per image.
        detections: detected boxes per image. COCO takes the 100 most probable.
        sizes: (N, 2) heights and widths in pixels.
        classes: class names.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if not any(len(image) for image in truth):
        return dict.fromkeys(NAMES)
    with redirect_stdout(StringIO()):  # it reports every step
        reference: Any = COCO()
        reference.dataset = _dataset(truth, sizes, classes)
        reference.createIndex()
        results = _results(detections)
        if not results:
            return dict.fromkeys(NAMES, 0.0)
        evaluation = COCOeval(reference, reference.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = [float(value) for value in evaluation.stats[: len(NAMES)]]
    return {n: v if v >= 0 else None for n, v in zip(NAMES, values, strict=True)}


def _dataset(
    truth: Sequence[GroundTruth], sizes: np.ndarray, classes: Sequence[str]
) -> dict[str, Any]:
    """The dataset in COCO's format, in which all ids start at 1."""
    objects = [
        (image, box, label, hard)
        for image, objects_of_image in enumerate(truth, 1)
        for box, label, hard in zip(
            objects_of_image.boxes, objects_of_image.labels, objects_of_image.difficult, strict=True
        )
    ]
    return {
        "images": [
            {"id": image, "height": int(h), "width": int(w)}
            for image, (h, w) in enumerate(sizes, 1)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, 1)],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": int(label) + 1,
                "bbox": _corner_and_size(box),
                "area": float((box[2] - box[0]) * (box[3] - box[1])),
                "iscrowd": int(hard),
            }
            for number, (image, box, label, hard) in enumerate(objects, 1)
        ],
    }


def _results(detections: Sequence[Detections]) -> list[dict[str, Any]]:
    return [
        {
            "image_id": image,
            "category_id": int(label) + 1,
            "bbox": _corner_and_size(box),
            "score": float(score),
        }
        for image, found in enumerate(detections, 1)
        for box, label, score in zip(found.boxes, found.labels, found.scores, strict=True)
    ]


def _corner_and_size(box: np.ndarray) -> list[float]:
    x1, y1, x2, y2 = (float(value) for value in box)
    return [x1, y1, x2 - x1, y2 - y1]
