"""One annotation in Pascal VOC's XML, read with all the faults that real ones have.

VOC counts pixels from 1 and both corners belong to the box. So `xmin = 1, xmax = W` is a box over
the whole width, from 0 to W: one is taken from xmin and ymin (as Detectron2 does).
"""

import re
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from tinyrefinery.errors import DataError

Fault = tuple[str, str]
"""Kind of problem, and what was found."""
_SLACK = 1.0  # pixels: tools that count from 0 write a corner at 0, or at the width
_DECLARED = re.compile(rb"""\s*<\?xml[^>]*?encoding\s*=\s*["']([\w.:-]+)["']""")
_TRUE = ("1", "true", "yes")  # Python tools write True
_ON_ITS_SIDE = (5, 6, 7, 8)  # EXIF orientations that swap height and width


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
        root = _root(data)
    except (ElementTree.ParseError, LookupError, ValueError) as error:
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


def _root(data: bytes) -> Element:
    """The outermost element, of any encoding that Python knows; the parser itself knows few."""
    try:
        return ElementTree.fromstring(data)
    except ElementTree.ParseError:
        raise
    except (LookupError, ValueError):
        declared = _DECLARED.match(data)
        if declared is None:
            raise
        return ElementTree.fromstring(data.decode(declared[1].decode()))


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
    difficult = (element.findtext("difficult") or "0").strip().lower() in _TRUE
    return Object(name, (corners[0], corners[1], corners[2], corners[3]), difficult)


def placed(
    annotation: Annotation, height: int, width: int, orientation: int = 1
) -> tuple[list[tuple[str, np.ndarray, bool]], list[Fault]]:
    """The sound objects as (name, box in pixels of the image, difficult), and what is wrong.

    Args:
        annotation: what the file says.
        height: of the image as decoded, hence upright, in pixels.
        width: likewise.
        orientation: that EXIF gave the image's pixels; 1: they are stored upright. Boxes of an
            image that was annotated as it lies in the file are turned with it.
    """
    faults = list(annotation.faults)
    frame, fault = _frame(annotation.size, height, width, orientation)
    faults += [fault] if fault else []
    sound = []
    for number, each in enumerate(annotation.objects, 1):
        box, fault = _box(each, frame, height, width)
        if fault:
            faults.append((fault[0], f"object {number} ('{each.name}'): {fault[1]}"))
        if box is not None:
            sound.append((each.name, box, each.difficult))
    return sound, faults


def lies_on_its_side(annotation: Annotation, height: int, width: int) -> bool:
    """Whether the file tells height and width of the decoded image the other way round."""
    return height != width and annotation.size == (width, height)


@dataclass(frozen=True)
class _Frame:
    """From the annotation's pixels to the image's."""

    scale: tuple[float, float] = (1.0, 1.0)
    """Of x and y."""
    orientation: int = 1
    """EXIF's, by which boxes are turned; 1: not."""

    def moved(self, box: np.ndarray, height: int, width: int) -> np.ndarray:
        """A box (x1, y1, x2, y2) in the upright image of `height` and `width`."""
        x1, y1, x2, y2 = box * np.tile(self.scale, 2)
        turned = {
            5: (y1, x1, y2, x2),
            6: (width - y2, x1, width - y1, x2),
            7: (width - y2, height - x2, width - y1, height - x1),
            8: (y1, height - x2, y2, height - x1),
        }
        return np.array(turned.get(self.orientation, (x1, y1, x2, y2)))


def _frame(
    size: tuple[int, int] | None, height: int, width: int, orientation: int
) -> tuple[_Frame, Fault | None]:
    if size is None or size == (height, width):
        return _Frame(), None
    told, is_now = f"{size[1]}x{size[0]}", f"{width}x{height}"
    if size == (width, height) and orientation in _ON_ITS_SIDE:
        what = f"annotated at {told}, is {is_now} upright (EXIF); boxes turned"
        return _Frame(orientation=orientation), ("turned_image", what)
    scale = width / size[1], height / size[0]
    if abs(scale[0] / scale[1] - 1) < 0.02:  # a resized copy, sides rounded
        return _Frame(scale), ("resized_image", f"annotated at {told}, is {is_now}; scaled")
    what = f"annotated at {told}, is {is_now}; boxes are taken for pixels of the image"
    return _Frame(), ("other_size", what)


def _box(
    given: Object, frame: _Frame, height: int, width: int
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
    box = frame.moved(np.array(given.box) - [1, 1, 0, 0], height, width)
    edge = np.array([width, height, width, height])
    inside = np.clip(box, 0, edge).astype(np.float32)
    if inside[2] - inside[0] < 1 or inside[3] - inside[1] < 1:
        return None, (
            "outside",
            f"{as_given}: less than a pixel lies in the image ({width}x{height}); left out",
        )
    if np.abs(inside - box).max() > _SLACK * max(1.0, *frame.scale):
        return inside, ("clipped", f"{as_given}: sticks out of the image ({width}x{height}); cut")
    return inside, None
