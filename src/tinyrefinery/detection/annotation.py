"""One annotation in Pascal VOC's XML, read with all the faults that real ones have.

VOC counts pixels from 1 and both corners belong to the box. So `xmin = 1, xmax = W` is a box over
the whole width, from 0 to W: one is taken from xmin and ymin (as Detectron2 does).
"""

from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from tinyrefinery.errors import DataError

Fault = tuple[str, str]
"""Kind of problem, and what was found."""
_SLACK = 1.0  # pixels: tools that count from 0 write a corner at 0, or at the width


@dataclass(frozen=True)
class Object:
    """An object as the file gives it."""

    name: str
    box: tuple[float, float, float, float]
    """As in the file: xmin, ymin, xmax, ymax."""
    difficult: bool


@dataclass(frozen=True)
class Annotation:
    """What a file says of an image."""

    filename: str
    size: tuple[int, int] | None
    """Height and width in pixels; None where the file doesn't tell."""
    objects: tuple[Object, ...]
    faults: tuple[Fault, ...]
    """Objects that can't be read, and a missing size."""


def parse(data: bytes) -> Annotation:
    """Read a file.

    Raises:
        DataError: when it is no XML, or no annotation; the message is the reason, without place.
    """
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise DataError(f"no XML ({error})") from error
    if root.tag != "annotation":
        raise DataError(f"its outermost element is <{root.tag}>, not <annotation>")
    size = _size(root)
    faults = [] if size else [("missing_size", "no image size; that of the image is taken")]
    objects = []
    for number, element in enumerate(root.findall("object"), 1):
        try:
            objects.append(_object(element))
        except ValueError as error:
            faults.append(("unreadable_object", f"object {number}: {error}; left out"))
    name = (root.findtext("filename") or "").strip()
    return Annotation(name, size, tuple(objects), tuple(faults))


def _size(root: Element) -> tuple[int, int] | None:
    try:
        height, width = (int(root.findtext(f"size/{side}") or 0) for side in ("height", "width"))
    except ValueError:
        return None
    return (height, width) if height > 0 and width > 0 else None


def _object(element: Element) -> Object:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise ValueError("has no name")
    corners = []
    for corner in ("xmin", "ymin", "xmax", "ymax"):
        text = element.findtext(f"bndbox/{corner}")
        if text is None:
            raise ValueError(f"'{name}' has no {corner}")
        value = float(text)
        if not np.isfinite(value):
            raise ValueError(f"'{name}': {corner} is {text}")
        corners.append(value)
    difficult = (element.findtext("difficult") or "0").strip() == "1"
    return Object(name, (corners[0], corners[1], corners[2], corners[3]), difficult)


def placed(
    annotation: Annotation, height: int, width: int
) -> tuple[list[tuple[str, np.ndarray, bool]], list[Fault]]:
    """The sound objects as (name, box in pixels of the image, difficult), and what is wrong.

    Args:
        annotation: what the file says.
        height: of the image as decoded, in pixels.
        width: likewise.
    """
    faults = list(annotation.faults)
    scale, fault = _scale(annotation.size, height, width)
    faults += [fault] if fault else []
    sound = []
    for number, each in enumerate(annotation.objects, 1):
        box, fault = _box(each, scale, height, width)
        if fault:
            faults.append((fault[0], f"object {number} ('{each.name}'): {fault[1]}"))
        if box is not None:
            sound.append((each.name, box, each.difficult))
    return sound, faults


def _scale(
    size: tuple[int, int] | None, height: int, width: int
) -> tuple[np.ndarray, Fault | None]:
    """Factors from the annotation's pixels to the image's."""
    if size is None or size == (height, width):
        return np.ones(4), None
    told, is_now = f"{size[1]}x{size[0]}", f"{width}x{height}"
    scale = np.array([width / size[1], height / size[0]])
    if abs(scale[0] / scale[1] - 1) < 0.02:  # a resized copy, sides rounded
        return np.tile(scale, 2), ("resized_image", f"annotated at {told}, is {is_now}; scaled")
    what = f"annotated at {told}, is {is_now}; boxes are taken for pixels of the image"
    return np.ones(4), ("other_size", what)


def _box(
    given: Object, scale: np.ndarray, height: int, width: int
) -> tuple[np.ndarray | None, Fault | None]:
    """The box within the image, if anything is left of it, and what was wrong with it."""
    xmin, ymin, xmax, ymax = given.box
    as_given = ", ".join(f"{value:g}" for value in given.box)
    if xmax < xmin or ymax < ymin:
        return None, (
            "inverted_box",
            f"{as_given}: the second corner lies before the first; left out",
        )
    if xmax == xmin or ymax == ymin:
        return None, ("zero_area", f"{as_given}: has no area; left out")
    box = (np.array(given.box) - [1, 1, 0, 0]) * scale
    edge = np.array([width, height, width, height])
    inside = np.clip(box, 0, edge).astype(np.float32)
    if inside[2] - inside[0] < 1 or inside[3] - inside[1] < 1:
        return None, (
            "outside",
            f"{as_given}: lies outside of the image ({width}x{height}); left out",
        )
    if np.abs(inside - box).max() > _SLACK * max(1.0, float(scale.max())):
        return inside, ("clipped", f"{as_given}: sticks out of the image ({width}x{height}); cut")
    return inside, None
