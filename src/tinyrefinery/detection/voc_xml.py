"""Reading an annotation in Pascal VOC's XML, with all the faults that real ones have.

VOC counts pixels from 1 and includes both corners in the box. So `xmin = 1, xmax = W` is a box over
the whole width, from 0 to W, and one is subtracted from xmin and ymin (as in Detectron2).
"""

import re
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from tinyrefinery.errors import DataError

Fault = tuple[str, str]
"""Kind of problem, and its description."""
_SLACK = 1.0  # pixels: tools that count from 0 write corners at 0 or at the width
_DECLARED = re.compile(rb"""\s*<\?xml[^>]*?encoding\s*=\s*["']([\w.:-]+)["']""")
_TRUE = ("1", "true", "yes")  # Python tools write True
_ROTATED = (5, 6, 7, 8)  # EXIF orientations that swap height and width


@dataclass(frozen=True)
class Object:
    """An object as in the file."""

    name: str
    box: tuple[float, float, float, float]
    """xmin, ymin, xmax, ymax as in the file."""
    difficult: bool


@dataclass(frozen=True)
class Annotation:
    """The content of an annotation file."""

    filename: str
    size: tuple[int, int] | None
    """Height and width in pixels; None if missing."""
    objects: tuple[Object, ...]
    faults: tuple[Fault, ...]
    """Unreadable objects, and a missing size."""


def parse(data: bytes) -> Annotation:
    """Parse an annotation file.

    Raises:
        DataError: when it is not XML, or not an annotation. The message does not name the file.
    """
    try:
        root = _root(data)
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise DataError(f"not XML ({error})") from error
    if root.tag != "annotation":
        raise DataError(f"the root element is <{root.tag}>, not <annotation>")
    size = _size(root)
    faults = [] if size else [("missing_size", "no image size; the image's own size is used")]
    objects = []
    for number, element in enumerate(root.findall("object"), 1):
        try:
            objects.append(_object(element))
        except ValueError as error:
            faults.append(("unreadable_object", f"object {number}: {error}; left out"))
    name = (root.findtext("filename") or "").strip()
    return Annotation(name, size, tuple(objects), tuple(faults))


def _root(data: bytes) -> Element:
    """The root element, in any encoding that Python supports. The parser itself supports few."""
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


def place_objects(
    annotation: Annotation, height: int, width: int, orientation: int = 1
) -> tuple[list[tuple[str, np.ndarray, bool]], list[Fault]]:
    """Convert objects to (name, box in pixels of the image, difficult), and list all faults.

    Args:
        annotation: the annotation.
        height: height in pixels of the decoded, upright image.
        width: its width in pixels.
        orientation: EXIF orientation of the stored image, where 1 is upright. If the image was
            annotated as stored, its boxes are rotated too.
    """
    faults = list(annotation.faults)
    frame, fault = _frame(annotation.size, height, width, orientation)
    faults += [fault] if fault else []
    objects = []
    for number, item in enumerate(annotation.objects, 1):
        box, fault = _box(item, frame, height, width)
        if fault:
            faults.append((fault[0], f"object {number} ('{item.name}'): {fault[1]}"))
        if box is not None:
            objects.append((item.name, box, item.difficult))
    return objects, faults


def has_swapped_size(annotation: Annotation, height: int, width: int) -> bool:
    """Whether the file has the height and width of the decoded image in swapped order."""
    return height != width and annotation.size == (width, height)


@dataclass(frozen=True)
class _Frame:
    """The transform from the annotation's pixels to the image's."""

    scale: tuple[float, float] = (1.0, 1.0)
    """Scale of x and y."""
    orientation: int = 1
    """EXIF orientation to rotate boxes by, where 1 means no rotation."""

    def transform(self, box: np.ndarray, height: int, width: int) -> np.ndarray:
        """A box (x1, y1, x2, y2) in the upright image of `height` and `width`."""
        x1, y1, x2, y2 = box * np.tile(self.scale, 2)
        rotated = {
            5: (y1, x1, y2, x2),
            6: (width - y2, x1, width - y1, x2),
            7: (width - y2, height - x2, width - y1, height - x1),
            8: (y1, height - x2, y2, height - x1),
        }
        return np.array(rotated.get(self.orientation, (x1, y1, x2, y2)))


def _frame(
    size: tuple[int, int] | None, height: int, width: int, orientation: int
) -> tuple[_Frame, Fault | None]:
    if size is None or size == (height, width):
        return _Frame(), None
    sizes = f"annotated at {size[1]}x{size[0]}, but the image is {width}x{height}"
    if size == (width, height) and orientation in _ROTATED:
        return _Frame(orientation=orientation), (
            "turned_image",
            f"{sizes} when upright (EXIF); boxes rotated",
        )
    scale = width / size[1], height / size[0]
    if abs(scale[0] / scale[1] - 1) < 0.02:  # a resized copy with rounded sides
        return _Frame(scale), ("resized_image", f"{sizes}; boxes scaled")
    return _Frame(), ("other_size", f"{sizes}; boxes used unchanged")


def _box(
    item: Object, frame: _Frame, height: int, width: int
) -> tuple[np.ndarray | None, Fault | None]:
    """The part of the box inside the image, if any, and the fault, if any."""
    xmin, ymin, xmax, ymax = item.box
    text = ", ".join(f"{value:g}" for value in item.box)
    if xmax < xmin or ymax < ymin:
        return None, ("inverted_box", f"{text}: second corner before the first; left out")
    if xmax == xmin or ymax == ymin:
        return None, ("zero_area", f"{text}: no area; left out")
    box = frame.transform(np.array(item.box) - [1, 1, 0, 0], height, width)
    edge = np.array([width, height, width, height])
    inside = np.clip(box, 0, edge).astype(np.float32)
    image = f"the image ({width}x{height})"
    if inside[2] - inside[0] < 1 or inside[3] - inside[1] < 1:
        return None, ("outside", f"{text}: less than a pixel inside {image}; left out")
    if np.abs(inside - box).max() > _SLACK * max(1.0, *frame.scale):
        return inside, ("clipped", f"{text}: extends beyond {image}; clipped")
    return inside, None
