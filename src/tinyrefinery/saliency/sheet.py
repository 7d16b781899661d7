"""Drawing saliency maps: a contact sheet, and one picture per overlay."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tinyrefinery.files import atomic_file
from tinyrefinery.pages.overlays import Tile, contact_sheet, overlay

SHORT = 58  # characters of a path that fit under three pictures
SIDE = 224  # smallest side of an overlay's file in pixels; small ones are enlarged


@dataclass(frozen=True)
class ExplainedImage:
    """One image with its prediction and saliency map."""

    row: int
    path: str
    label: str
    """Name of its class."""
    predicted: str
    """The most probable class."""
    probability: float
    """Probability of `predicted`."""
    explained: str
    """The class that the map explains."""
    source: np.ndarray
    """uint8 (H, W, C)."""
    input: np.ndarray
    """The network's input, uint8 (h, w, C)."""
    heat: np.ndarray
    """(h, w)."""


def captions(image: ExplainedImage, unit: str) -> list[str]:
    """The three lines below the pictures."""
    path = image.path if len(image.path) <= SHORT else f"...{image.path[3 - SHORT :]}"
    low, high = float(image.heat.min()), float(image.heat.max())
    return [
        f"label {image.label}, predicted {image.predicted} {image.probability:.2f}",
        f"row {image.row}  {path}",
        f"for {image.explained}: {max(high, 0.0):+.2f}, against: {min(low, 0.0):+.2f} {unit}",
    ]


def draw_overlay(image: ExplainedImage, least: float) -> np.ndarray:
    """The map over the network's input, uint8 (h, w, 3)."""
    return overlay(image.input, image.heat, scale=max(float(np.abs(image.heat).max()), least))


def write_sheet(
    path: Path, images: Sequence[ExplainedImage], head: Sequence[str], *, unit: str, least: float
) -> None:
    """Write a PNG with source, network's input and overlay of each image side by side.

    Args:
        path: the file.
        images: the images in reading order.
        head: lines of text at the top.
        unit: unit of the maps.
        least: smallest peak of a map drawn at full strength.

    Raises:
        StorageError: when the file is not writable.
    """
    tiles = [
        Tile((image.source, image.input, draw_overlay(image, least)), captions(image, unit))
        for image in images
    ]
    contact_sheet(path, tiles, columns=2, head=head)


def write_overlays(folder: Path, images: Sequence[ExplainedImage], *, least: float) -> list[Path]:
    """Write each overlay as a PNG, named by row, label and prediction.

    Raises:
        StorageError: when a file is not writable.
    """
    paths = []
    for image in images:
        picture = Image.fromarray(draw_overlay(image, least))
        factor = max(1, -(-SIDE // max(picture.size)))
        enlarged = picture.resize(
            (picture.width * factor, picture.height * factor), Image.Resampling.NEAREST
        )
        name = "-".join(_file_name(part) for part in (image.label, "predicted", image.predicted))
        path = folder / f"{image.row:06d}-{name}.png"
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            enlarged.save(file, "PNG")
        paths.append(path)
    return paths


def _file_name(text: str) -> str:
    """Replace characters of a class name that are not safe in file names."""
    return "".join(char if char.isalnum() or char in "_." else "_" for char in text)[:40]
