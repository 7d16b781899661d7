"""Maps laid over pictures, and sheets of them: what a network looked at, for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tinyrefinery.files import writing

FOR, AGAINST = (230, 97, 1), (94, 60, 153)
"""Orange and purple: told apart with any color vision (ColorBrewer PuOr)."""
TILE, GAP, LINE = 160, 8, 14  # pixels


def as_image(pixels: np.ndarray) -> Image.Image:
    """Pixels uint8 (H, W, 1 or 3) as Pillow has them."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def overlay(
    pixels: np.ndarray, heat: np.ndarray, *, scale: float | None = None, strength: float = 0.8
) -> np.ndarray:
    """A gray picture with a map on it: orange where it is positive, purple where negative.

    Args:
        pixels: uint8 (H, W, 1 or 3).
        heat: (h, w), resized to the picture when it is of another size.
        scale: the absolute value that is drawn strongest; the map's own largest when not given.
        strength: opacity there, in [0, 1].

    Returns:
        uint8 (H, W, 3).
    """
    gray = np.asarray(as_image(pixels).convert("L"), np.float64)[..., None]
    height, width = gray.shape[:2]
    drawn = heat.astype(np.float32)
    if drawn.shape != (height, width):
        resized = Image.fromarray(drawn).resize((width, height), Image.Resampling.BILINEAR)
        drawn = np.asarray(resized)
    top = float(np.abs(drawn).max()) if scale is None else scale
    share = np.clip(np.abs(drawn) / top, 0, 1)[..., None] if top > 0 else 0 * gray
    color = np.where(drawn[..., None] > 0, np.array(FOR), np.array(AGAINST))
    mixed = gray * (1 - strength * share) + color * strength * share
    return np.rint(mixed).astype(np.uint8)


@dataclass(frozen=True)
class Tile:
    """One entry of a sheet."""

    pictures: Sequence[np.ndarray]
    """Side by side, each uint8 (H, W, 1 or 3)."""
    lines: Sequence[str]
    """Text below."""


def contact_sheet(path: Path, tiles: Sequence[Tile], *, columns: int = 4) -> None:
    """Write tiles in rows as one PNG; small pictures are enlarged without smoothing.

    Raises:
        StorageError: when the file can't be written.
    """
    across = max(len(tile.pictures) for tile in tiles) if tiles else 1
    lines = max((len(tile.lines) for tile in tiles), default=0)
    wide, tall = across * TILE + GAP, TILE + LINE * lines + GAP
    columns = max(1, min(columns, len(tiles)))
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * wide + GAP, rows * tall + GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=LINE - 3)
    for number, tile in enumerate(tiles):
        left, top = GAP + number % columns * wide, GAP + number // columns * tall
        for place, picture in enumerate(tile.pictures):
            sheet.paste(_fitted(picture), (left + place * TILE, top))
        for place, line in enumerate(tile.lines):
            draw.text((left, top + TILE + LINE * place), line, fill="black", font=font)
    with writing(path) as aside, aside.open("wb") as file:
        sheet.save(file, "PNG")


def _fitted(pixels: np.ndarray) -> Image.Image:
    """A picture in the largest size that fits a tile; whole multiples where it is enlarged."""
    image = as_image(pixels).convert("RGB")
    factor = (TILE - 2) / max(image.size)
    wide, tall = image.size
    if factor >= 1:
        return image.resize((wide * int(factor), tall * int(factor)), Image.Resampling.NEAREST)
    size = max(1, round(wide * factor)), max(1, round(tall * factor))
    return image.resize(size, Image.Resampling.LANCZOS)
