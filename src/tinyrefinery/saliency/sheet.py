"""Saliency for people: a contact sheet, and each overlay as a picture of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tinyrefinery.files import atomic_file
from tinyrefinery.pages.overlays import Tile, contact_sheet, overlay

SHORT = 58  # characters of a path that fit under three pictures
SIDE = 224  # pixels that a small overlay is enlarged to at least, in whole multiples


@dataclass(frozen=True)
class Shown:
    """One image with what the network looked at."""

    row: int
    path: str
    label: str
    """The given class."""
    said: str
    """The most probable class."""
    probability: float
    """Of it."""
    asked: str
    """The class whose map it is."""
    source: np.ndarray
    """uint8 (H, W, C)."""
    seen: np.ndarray
    """The network's input, uint8 (h, w, C)."""
    heat: np.ndarray
    """(h, w)."""


def captions(shown: Shown, unit: str) -> list[str]:
    """Three lines below its pictures."""
    path = shown.path if len(shown.path) <= SHORT else f"...{shown.path[3 - SHORT :]}"
    low, high = float(shown.heat.min()), float(shown.heat.max())
    return [
        f"is {shown.label}, said {shown.said} {shown.probability:.2f}",
        f"row {shown.row}  {path}",
        f"for {shown.asked}: {max(high, 0.0):+.2f}, against: {min(low, 0.0):+.2f} {unit}",
    ]


def painted(shown: Shown, least: float) -> np.ndarray:
    """The network's input with its map on it, uint8 (h, w, 3)."""
    return overlay(shown.seen, shown.heat, scale=max(float(np.abs(shown.heat).max()), least))


def write_sheet(
    path: Path, images: Sequence[Shown], head: Sequence[str], *, unit: str, least: float
) -> None:
    """Write a PNG: source, network's input and overlay of each image, side by side.

    Args:
        path: the file.
        images: in reading order.
        head: lines above all.
        unit: of the maps.
        least: what a map must reach to be drawn at full strength.

    Raises:
        StorageError: when it can't be written.
    """
    tiles = [
        Tile((each.source, each.seen, painted(each, least)), captions(each, unit))
        for each in images
    ]
    contact_sheet(path, tiles, columns=2, head=head)


def write_overlays(folder: Path, images: Sequence[Shown], *, least: float) -> list[Path]:
    """Write each overlay as a PNG, called by row, class and answer.

    Raises:
        StorageError: when one can't be written.
    """
    written = []
    for each in images:
        picture = Image.fromarray(painted(each, least))
        factor = max(1, -(-SIDE // max(picture.size)))
        enlarged = picture.resize(
            (picture.width * factor, picture.height * factor), Image.Resampling.NEAREST
        )
        name = "-".join(_plain(part) for part in (each.label, "said", each.said))
        path = folder / f"{each.row:06d}-{name}.png"
        with atomic_file(path) as aside, aside.open("wb") as file:
            enlarged.save(file, "PNG")
        written.append(path)
    return written


def _plain(text: str) -> str:
    """Class names may hold what file names can't."""
    return "".join(each if each.isalnum() or each in "_." else "_" for each in text)[:40]
