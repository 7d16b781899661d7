"""Sources of images with boxes by name."""

from collections.abc import Callable
from typing import Any

from tinyrefinery.detection.boxes import BoxData
from tinyrefinery.detection.shapes import open_shapes
from tinyrefinery.detection.voc import open_voc
from tinyrefinery.names import check_options, look_up

SOURCES: dict[str, Callable[..., BoxData]] = {"voc": open_voc, "shapes": open_shapes}


def open_boxes(name: str, **options: Any) -> BoxData:
    """Open the source of that name, e.g. `open_boxes("voc", root="raccoons.zip")`.

    Raises:
        RecipeError: for an unknown name or option.
        DataError: as the source.
    """
    source = look_up("source of boxes", name, SOURCES)
    check_options("source", name, source, options)
    return source(**options)
