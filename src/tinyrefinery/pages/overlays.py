"""Drawing maps over pictures, and contact sheets."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tinyrefinery.files import atomic_file

FOR, AGAINST = (230, 97, 1), (94, 60, 153)
"""Orange and purple, safe for color-blind readers (ColorBrewer PuOr)."""
TILE, GAP, LINE = 160, 8, 14  # pixels


def as_image(pixels: np.ndarray) -> Image.Image:
    """Pixels uint8 (H, W, 1 or 3) as a Pillow image."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def overlay(
    pixels: np.ndarray, heat: np.ndarray, *, scale: float | None = None, strength: float = 0.8
) -> np.ndarray:
    """Draw a map over a gray picture, orange where positive and purple where negative.

    Args:
        pixels: uint8 (H, W, 1 or 3).
        heat: (h, w), resized to the picture if needed.
        scale: absolute value that is drawn at full strength; by default, the map's largest.
        strength: opacity at full strength, in [0, 1].

    Returns:
        uint8 (H, W, 3).
    """
    gray = np.asarray(as_image(pixels).convert("L"), np.float64)[..., None]
    height, width = gray.shape[:2]
    values = heat.astype(np.float32)
    if values.shape != (height, width):
        resized = Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR)
        values = np.asarray(resized)
    top = float(np.abs(values).max()) if scale is None else scale
    share = np.clip(np.abs(values) / top, 0, 1)[..., None] if top > 0 else 0 * gray
    color = np.where(values[..., None] > 0, np.array(FOR), np.array(AGAINST))
    mixed = gray * (1 - strength * share) + color * strength * share
    return np.rint(mixed).astype(np.uint8)


def transparent(
    heat: np.ndarray, *, least: float = 0.0, side: int = 16, strength: float = 0.9
) -> np.ndarray:
    """Draw a map alone, to overlay on a picture of any size: orange, purple, transparent at 0.

    It is small and has 16 levels, so that hundreds of them fit on a page. Maps of overlapping
    patches have no fine detail to lose.

    Args:
        heat: (h, w).
        least: smallest peak that is drawn at full strength.
        side: longest side of the result in pixels.
        strength: opacity at full strength, in [0, 1].

    Returns:
        uint8 RGBA (height, width, 4).
    """
    height, width = heat.shape
    factor = min(1.0, side / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = Image.fromarray(heat.astype(np.float32)).resize(size, Image.Resampling.BOX)
    values = np.asarray(small, np.float64)
    top = max(float(np.abs(values).max()), least)
    share = np.abs(values) / top if top > 0 else np.zeros_like(values)
    alpha = np.rint(np.rint(15 * share) / 15 * 255 * strength)[..., None]
    color = np.where(values[..., None] > 0, np.array(FOR), np.array(AGAINST))
    return np.concatenate([np.where(alpha > 0, color, 0), alpha], axis=2).astype(np.uint8)


@dataclass(frozen=True)
class Tile:
    """One entry of a sheet."""

    pictures: Sequence[np.ndarray]
    """Side by side, each uint8 (H, W, 1 or 3)."""
    lines: Sequence[str]
    """Text below."""


def contact_sheet(
    path: Path,
    tiles: Sequence[Tile],
    *,
    columns: int = 4,
    head: Sequence[str] = (),
    side: int = TILE,
) -> None:
    """Write tiles in rows as one PNG or JPEG. Small pictures are enlarged without smoothing.

    Args:
        path: the file, a JPEG if it ends in .jpg, else a PNG.
        tiles: the tiles in reading order.
        columns: tiles per row.
        head: lines of text at the top.
        side: side of the square for each picture, in pixels.

    Raises:
        StorageError: when the file is not writable.
    """
    across = max(len(tile.pictures) for tile in tiles) if tiles else 1
    lines = max((len(tile.lines) for tile in tiles), default=0)
    wide, tall = across * side + GAP, side + LINE * lines + GAP
    columns = max(1, min(columns, len(tiles)))
    rows = -(-len(tiles) // columns)
    above = LINE * len(head) + (GAP if head else 0)
    sheet = Image.new("RGB", (columns * wide + GAP, rows * tall + GAP + above), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=LINE - 3)
    for place, line in enumerate(head):
        draw.text((GAP, GAP + LINE * place), line, fill="black", font=font)
    for number, tile in enumerate(tiles):
        left, top = GAP + number % columns * wide, GAP + above + number // columns * tall
        for place, picture in enumerate(tile.pictures):
            sheet.paste(_fitted(picture, side), (left + place * side, top))
        for place, line in enumerate(tile.lines):
            draw.text((left, top + side + LINE * place), line, fill="black", font=font)
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        sheet.save(file, "JPEG" if path.suffix == ".jpg" else "PNG", quality=90)


def _fitted(pixels: np.ndarray, side: int) -> Image.Image:
    """Resize a picture to fit a square, by whole multiples if it is enlarged."""
    image = as_image(pixels).convert("RGB")
    factor = (side - 2) / max(image.size)
    kind = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.LANCZOS
    factor = int(factor) if factor >= 1 else factor
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, kind)
