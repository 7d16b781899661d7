"""Render house-number scenes from their layout, many scenes at once.

All in double precision. So rounding differences between processors and libraries hardly ever change
a pixel, and a scene has the same bytes, hence the same identity, on all machines.
"""

import numpy as np

from tinyrefinery.data.sources.street_glyphs import MASTER, Glyphs, triangle
from tinyrefinery.data.sources.street_layout import Layout
from tinyrefinery.options.sources import StreetNumbers
from tinyrefinery.random import generator, uniform

_CHUNK = 256  # scenes at once: their layers fit in the processor's cache
_GRAIN = 512  # pixels per side of the noise field; each scene uses a window of it


def compose(
    part: StreetNumbers, seed: int, split: str, rows: np.ndarray, layout: Layout, glyphs: Glyphs
) -> np.ndarray:
    """Render the scenes: wall, plate, clutter, digits, light and noise; uint8 (N, C, H, W)."""
    noise_field = _NoiseField(seed, part)
    shifts = uniform(seed, f"street {split} grain", 0, rows, 2)
    out = np.empty((len(rows), part.channels, part.height, part.width), np.uint8)
    for start in range(0, len(rows), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        canvas = _background(part, layout, chunk)
        for digit in range(part.digits):
            ink = digit_ink(part, layout, chunk, digit, glyphs)
            _paint(canvas, ink, layout.ink[chunk])
        noise = noise_field.windows_at(shifts[chunk]) * layout.noise[chunk, None, None]
        canvas += noise[:, None]
        out[chunk] = np.rint(np.clip(canvas, 0.0, 1.0) * 255)
    return out


def digit_ink(
    part: StreetNumbers, layout: Layout, chunk: slice, digit: int, glyphs: Glyphs
) -> np.ndarray:
    """Share of each pixel that one digit's ink covers, (B, H, W) in 0..1."""
    top, left, height, width = np.moveaxis(layout.places[chunk, digit], 1, 0)
    down = (np.arange(part.height) + 0.5 - top[:, None]) * (MASTER / height)[:, None]
    right = (np.arange(part.width) + 0.5 - left[:, None]) * (MASTER / width)[:, None]
    rows = triangle(down, layout.blur[chunk] * MASTER / height, MASTER)  # (B, H, MASTER)
    columns = triangle(right, layout.blur[chunk] * MASTER / width, MASTER)  # (B, W, MASTER)
    return rows @ glyphs.masters[layout.glyphs[chunk, digit]] @ columns.transpose(0, 2, 1)


def _background(part: StreetNumbers, layout: Layout, chunk: slice) -> np.ndarray:
    """Wall, plate, clutter and light without the digits, (B, C, H, W)."""
    wall = layout.wall[chunk][:, :, None, None]
    shape = (len(wall), part.channels, part.height, part.width)
    canvas = np.broadcast_to(wall, shape).copy()
    down, right = np.arange(part.height) + 0.5, np.arange(part.width) + 0.5
    top, left, bottom, far = layout.plate[chunk].T[:, :, None]
    rows = _overlap(down, top, bottom)
    columns = _overlap(right, left, far)
    _paint(canvas, rows[:, :, None] * columns[:, None, :], layout.paper[chunk])
    for stroke in np.moveaxis(layout.strokes[chunk], 1, 0):
        cover = _stroke_cover(down, right, stroke[:, :5])
        canvas += (cover * stroke[:, 5, None, None])[:, None]
    slope = layout.light[chunk][:, :, None]
    canvas += (slope[:, 0] * (down / part.height - 0.5))[:, None, :, None]
    canvas += (slope[:, 1] * (right / part.width - 0.5))[:, None, None, :]
    return canvas


def _paint(canvas: np.ndarray, cover: np.ndarray, tone: np.ndarray) -> None:
    """Paint a tone (B, C) on the canvas (B, C, H, W), in place; `cover` (B, H, W) is its alpha."""
    canvas += cover[:, None] * (tone[:, :, None, None] - canvas)


def _overlap(centers: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Share of each pixel between start and end, (B, pixels)."""
    return np.clip(np.minimum(centers + 0.5, end) - np.maximum(centers - 0.5, start), 0.0, 1.0)


def _stroke_cover(down: np.ndarray, right: np.ndarray, stroke: np.ndarray) -> np.ndarray:
    """Share of each pixel that a straight stroke with round ends covers, (B, H, W)."""
    y0, x0, y1, x1, half = (amount[:, None, None] for amount in stroke.T)
    dy, dx = y1 - y0, x1 - x0
    y = down[None, :, None] - y0
    x = right[None, None, :] - x0
    along = np.clip((y * dy + x * dx) / np.maximum(dy * dy + dx * dx, 1e-6), 0.0, 1.0)
    distance = np.hypot(y - along * dy, x - along * dx)
    return np.clip(half + 0.5 - distance, 0.0, 1.0)


class _NoiseField:
    """A field of normal noise. The noise of a scene is a random window of it."""

    def __init__(self, seed: int, part: StreetNumbers) -> None:
        shape = (_GRAIN + part.height, _GRAIN + part.width)
        field = generator(seed, "street grain").standard_normal(shape)
        window = (part.height, part.width)
        self.windows = np.lib.stride_tricks.sliding_window_view(field, window)

    def windows_at(self, shifts: np.ndarray) -> np.ndarray:
        """Windows at random numbers in [0, 1), (B, 2) -> (B, H, W)."""
        corners = (shifts * _GRAIN).astype(np.int64)
        return self.windows[corners[:, 0], corners[:, 1]]
