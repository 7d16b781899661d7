"""COCO's average precision, computed by its own authors' pycocotools."""

from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from typing import Any

import numpy as np

from tinyrefinery.detection.boxes import Given
from tinyrefinery.detection.detections import Found
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
    given: Sequence[Given], found: Sequence[Found], sizes: np.ndarray, classes: Sequence[str]
) -> dict[str, float | None]:
    """The measures `NAMES`, 0 to 1; None where no object (of the size) is given.

    Difficult objects are COCO's crowds: whatever lies in them counts neither way.

    Args:
        given: objects of each image.
        found: found boxes of each image, of which COCO takes the 100 most probable.
        sizes: (N, 2) heights and widths in pixels.
        classes: names.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if not any(len(each) for each in given):
        return dict.fromkeys(NAMES)
    with redirect_stdout(StringIO()):  # it reports every step
        truth: Any = COCO()
        truth.dataset = _dataset(given, sizes, classes)
        truth.createIndex()
        results = _results(found)
        if not results:
            return dict.fromkeys(NAMES, 0.0)
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = [float(value) for value in evaluation.stats[: len(NAMES)]]
    return {n: v if v >= 0 else None for n, v in zip(NAMES, values, strict=True)}


def _dataset(given: Sequence[Given], sizes: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """COCO's own format; numbers of everything count from 1."""
    objects = [
        (image, box, label, hard)
        for image, each in enumerate(given, 1)
        for box, label, hard in zip(each.boxes, each.labels, each.difficult, strict=True)
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


def _results(found: Sequence[Found]) -> list[dict[str, Any]]:
    return [
        {
            "image_id": image,
            "category_id": int(label) + 1,
            "bbox": _corner_and_size(box),
            "score": float(score),
        }
        for image, each in enumerate(found, 1)
        for box, label, score in zip(each.boxes, each.labels, each.scores, strict=True)
    ]


def _corner_and_size(box: np.ndarray) -> list[float]:
    x1, y1, x2, y2 = (float(value) for value in box)
    return [x1, y1, x2 - x1, y2 - y1]
