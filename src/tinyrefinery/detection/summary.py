"""All measures of a detector on a split."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyrefinery.detection.boxes import BoxData
from tinyrefinery.detection.coco_measure import coco_measures
from tinyrefinery.detection.found import Found
from tinyrefinery.detection.voc_measure import voc_measures


def measures(
    data: BoxData, rows: np.ndarray, found: Sequence[Found], *, coco: bool = True
) -> dict[str, Any]:
    """VOC's and COCO's measures, 0 to 1.

    Args:
        data: the images.
        rows: those that were looked at.
        found: what was found in each of them.
        coco: whether to take COCO's too, which costs more.

    Returns:
        `map11`, `map_area`: means over the classes that have objects, None without any; `classes`:
        those of each class, see `voc_measures`; `coco`: see `coco_measures`; `images`, `objects`:
        their numbers, difficult objects apart.
    """
    given = [data.given[row] for row in rows]
    by_class = voc_measures(given, found, data.classes)
    result = {
        "map11": _mean([each["ap11"] for each in by_class.values()]),
        "map_area": _mean([each["ap_area"] for each in by_class.values()]),
        "classes": by_class,
        "images": len(rows),
        "objects": int(sum(each["objects"] for each in by_class.values())),
    }
    if coco:
        sizes = data.images.sizes[rows]
        result["coco"] = coco_measures(given, found, sizes, data.classes)
    return result


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
