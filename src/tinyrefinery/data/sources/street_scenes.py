"""Pixels of house-number scenes from their layout, many scenes at once.

All in double precision: then the rounding of other processors and libraries hardly ever tips a
pixel, and a scene has the same bytes, hence the same identity, on every machine.
"""

import numpy as np

from tinyrefinery.data.sources.street_glyphs import MASTER, Glyphs, triangle
from tinyrefinery.data.sources.street_layout import Layout, SceneOptions
from tinyrefinery.random import generator, uniform

_CHUNK = 256  # scenes at a time: their layers stay in the processor's cache
_GRAIN = 512  # side of the field of normal noise that scenes cut their noise from


def compose(
    options: SceneOptions, seed: int, split: str, rows: np.ndarray, layout: Layout, glyphs: Glyphs
) -> np.ndarray:
    """Draw the scenes: wall, plate, clutter, digits, light and noise; uint8 (N, C, H, W)."""
    grain = _Grain(seed, options)
    shifts = uniform(seed, f"street {split} grain", 0, rows, 2)
    out = np.empty((len(rows), options.channels, options.height, options.width), np.uint8)
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        canvas = _ground(options, layout, part)
        for digit in range(options.digits):
            ink = digit_ink(options, layout, part, digit, glyphs)
            _paint(canvas, ink, layout.ink[part])
        noise = grain.cut(shifts[part]) * layout.noise[part, None, None]
        canvas += noise[:, None]
        out[part] = np.rint(np.clip(canvas, 0.0, 1.0) * 255)
    return out


def digit_ink(
    options: SceneOptions, layout: Layout, part: slice, digit: int, glyphs: Glyphs
) -> np.ndarray:
    """Share of each pixel that one digit's ink covers, (B, H, W) in 0..1."""
    top, left, height, width = np.moveaxis(layout.places[part, digit], 1, 0)
    down = (np.arange(options.height) + 0.5 - top[:, None]) * (MASTER / height)[:, None]
    right = (np.arange(options.width) + 0.5 - left[:, None]) * (MASTER / width)[:, None]
    rows = triangle(down, layout.blur[part] * MASTER / height, MASTER)
    columns = triangle(right, layout.blur[part] * MASTER / width, MASTER)
    return rows @ glyphs.masters[layout.glyphs[part, digit]] @ columns.transpose(0, 2, 1)


def _ground(options: SceneOptions, layout: Layout, part: slice) -> np.ndarray:
    """Wall, plate, clutter and light without the digits, (B, C, H, W)."""
    wall = layout.wall[part][:, :, None, None]
    shape = (len(wall), options.channels, options.height, options.width)
    canvas = np.broadcast_to(wall, shape).copy()
    down, right = np.arange(options.height) + 0.5, np.arange(options.width) + 0.5
    top, left, bottom, far = layout.plate[part].T[:, :, None]
    rows = _overlap(down, top, bottom)
    columns = _overlap(right, left, far)
    _paint(canvas, rows[:, :, None] * columns[:, None, :], layout.paper[part])
    for stroke in np.moveaxis(layout.strokes[part], 1, 0):
        cover = _stroke_cover(down, right, stroke[:, :5])
        canvas += (cover * stroke[:, 5, None, None])[:, None]
    slope = layout.light[part][:, :, None]
    canvas += (slope[:, 0] * (down / options.height - 0.5))[:, None, :, None]
    canvas += (slope[:, 1] * (right / options.width - 0.5))[:, None, None, :]
    return canvas


def _paint(canvas: np.ndarray, cover: np.ndarray, tone: np.ndarray) -> None:
    """Lay a tone (B, C) over the canvas (B, C, H, W) where it covers (B, H, W), in place."""
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


class _Grain:
    """One field of normal noise; a scene's noise is a window of it at a place of its own."""

    def __init__(self, seed: int, options: SceneOptions) -> None:
        shape = (_GRAIN + options.height, _GRAIN + options.width)
        field = generator(seed, "street grain").standard_normal(shape)
        window = (options.height, options.width)
        self.windows = np.lib.stride_tricks.sliding_window_view(field, window)

    def cut(self, shifts: np.ndarray) -> np.ndarray:
        """Windows at draws in [0, 1), (B, 2) -> (B, H, W)."""
        places = (shifts * _GRAIN).astype(np.int64)
        return self.windows[places[:, 0], places[:, 1]]
