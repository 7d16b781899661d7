"""Layout of house-number scenes: digits, their positions, sizes and tones.

All numbers are pure functions of (seed, split, scene number). So scene 17 is the same in a set of
20 scenes and in one of 20,000.
"""

from dataclasses import dataclass

import numpy as np

from tinyrefinery.data.sources.street_glyphs import Glyphs, pool
from tinyrefinery.options.sources import StreetNumbers
from tinyrefinery.random import permutation, uniform

_MARGIN = 1.0  # pixels between the digits and the border of the image


@dataclass(frozen=True)
class Layout:
    """Parameters of the N scenes of one split, with D digits each."""

    labels: np.ndarray
    """The house number, (N,) int64."""
    glyphs: np.ndarray
    """Glyph of each digit, (N, D) int64."""
    places: np.ndarray
    """Top, left, height, width of each digit's ink in pixels, (N, D, 4) float64."""
    ink: np.ndarray
    """Tone of the digits, (N, C), 0 black to 1 white."""
    paper: np.ndarray
    """Tone directly behind the digits, (N, C)."""
    wall: np.ndarray
    """Tone of the wall, (N, C); equals `paper` without a plate."""
    plate: np.ndarray
    """Top, left, bottom, right of the plate in pixels, (N, 4); may extend beyond the image."""
    light: np.ndarray
    """Change of tone across the image, downward and to the right, (N, 2)."""
    strokes: np.ndarray
    """Clutter, (N, clutter, 6): y, x, y, x of both ends in pixels, half thickness, tone change.
    Unused strokes have zero tone change."""
    contrast: np.ndarray
    """Absolute difference between ink and paper, (N,)."""
    noise: np.ndarray
    """Standard deviation of the pixel noise as a share of full range, (N,)."""
    blur: np.ndarray
    """Half width in pixels of the filter that draws the digits, (N,); 1 is sharp."""


def lay_out(part: StreetNumbers, seed: int, split: str, rows: np.ndarray, glyphs: Glyphs) -> Layout:
    """Draw the layout of the scenes `rows` of a split."""

    def draw(purpose: str, count: int) -> np.ndarray:
        return uniform(seed, f"street {split} {purpose}", 0, rows, count)

    labels = _labels(seed, split, rows, 10**part.digits)
    chosen = _choose_glyphs(labels, draw("glyph", part.digits), pool(seed, split, glyphs.values))
    places = _place_digits(part, glyphs.aspects[chosen], draw("place", 4 + 2 * part.digits))
    tone = draw("tone", 8)
    tint = draw("tint", 9).reshape(-1, 3, 3) * 0.3 - 0.15  # ink, paper, wall by red, green, blue
    ink, paper, wall = _tones(part, tone, tint if part.channels == 3 else 0 * tint[..., :1])
    angle, slope = 2 * np.pi * tone[:, 5], 0.3 * tone[:, 6]
    return Layout(
        labels=labels,
        glyphs=chosen,
        places=places,
        ink=ink,
        paper=paper,
        wall=wall,
        plate=_plate(places, draw("plate", 2)),
        light=np.stack([slope * np.sin(angle), slope * np.cos(angle)], axis=1),
        strokes=_strokes(part, draw("clutter", 1 + 7 * part.clutter)),
        contrast=_between(tone[:, 0], *part.contrast),
        noise=part.noise * draw("noise", 1)[:, 0],
        blur=_between(tone[:, 7], 1.0, 1.8),
    )


def _tones(
    part: StreetNumbers, draws: np.ndarray, tint: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tones (N, C) of ink, paper and wall; tint (N, 3, C) is added to each."""
    contrast = _between(draws[:, 0], *part.contrast)
    dark = draws[:, 1] < 0.5
    paper = draws[:, 2] * (1 - contrast) + np.where(dark, contrast, 0.0)
    ink = np.where(dark, paper - contrast, paper + contrast)
    # Half of the scenes have a plate. The wall around it is lighter or darker than the paper.
    has_plate = draws[:, 3:4] < 0.5
    shade = np.clip(paper + _between(draws[:, 4], -0.4, 0.4), 0.0, 1.0)
    paper = paper[:, None] + tint[:, 1]
    wall = np.where(has_plate, shade[:, None] + tint[:, 2], paper)
    return ink[:, None] + tint[:, 0], paper, wall


def _labels(seed: int, split: str, rows: np.ndarray, classes: int) -> np.ndarray:
    """Classes in shuffled rounds, so that class sizes differ by at most one scene."""
    rounds = range(int(rows.max(initial=-1)) // classes + 1)
    order = [permutation(seed, f"street {split} class", number, classes) for number in rounds]
    return np.concatenate([*order, np.empty(0, np.int64)]).astype(np.int64)[rows]


def digits_of(labels: np.ndarray, digits: int) -> np.ndarray:
    """The digits of house numbers from left to right, (N, digits) int64."""
    return labels[:, None] // 10 ** np.arange(digits - 1, -1, -1) % 10


def _choose_glyphs(
    labels: np.ndarray, draws: np.ndarray, pools: tuple[np.ndarray, ...]
) -> np.ndarray:
    """Choose a glyph from the pool of the digit for each position, (N, D) int64."""
    values = digits_of(labels, draws.shape[1])
    sizes = np.array([len(numbers) for numbers in pools])
    table = np.zeros((10, sizes.max()), np.int64)
    for digit, numbers in enumerate(pools):
        table[digit, : len(numbers)] = numbers
    return table[values, (draws * sizes[values]).astype(np.int64)]


def _place_digits(part: StreetNumbers, aspects: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Boxes of the digits (N, D, 4): side by side, slightly off the line, inside the image."""
    digits = part.digits
    height = _between(draws[:, 0], *part.size)[:, None] * part.height
    heights = height * _between(draws[:, 4 : 4 + digits], 0.92, 1.0)
    sinks = height * _between(draws[:, 4 + digits :], 0.0, 0.12)
    widths = heights * np.clip(aspects, 0.2, 1.2) * _between(draws[:, 1:2], 0.85, 1.1)
    gaps = height * 0.04 + height * 0.16 * draws[:, 1:2]
    total_width = widths.sum(axis=1, keepdims=True) + gaps * (digits - 1)
    total_height = (heights + sinks).max(axis=1, keepdims=True)
    room = np.array([part.height, part.width]) - 2 * _MARGIN
    shrink = np.minimum(1.0, np.minimum(room[0] / total_height, room[1] / total_width))
    heights, sinks, widths, gaps, total_width, total_height = (
        length * shrink for length in (heights, sinks, widths, gaps, total_width, total_height)
    )
    offsets = np.cumsum(widths, axis=1) - widths + gaps * np.arange(digits)
    tops = _MARGIN + draws[:, 2:3] * (room[0] - total_height) + sinks
    lefts = _MARGIN + draws[:, 3:4] * (room[1] - total_width) + offsets
    return np.stack([tops, lefts, heights, widths], axis=2)


def _plate(places: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """A plate around all digits, with a margin of .1 to .4 of their height, (N, 4)."""
    tops, lefts, heights, widths = np.moveaxis(places, 2, 0)
    edge = heights.max(axis=1, keepdims=True) * _between(draws, 0.1, 0.4)
    return np.stack(
        [
            tops.min(axis=1) - edge[:, 0],
            lefts.min(axis=1) - edge[:, 1],
            (tops + heights).max(axis=1) + edge[:, 0],
            (lefts + widths).max(axis=1) + edge[:, 1],
        ],
        axis=1,
    )


def _strokes(part: StreetNumbers, draws: np.ndarray) -> np.ndarray:
    """Up to `clutter` straight strokes, such as cables, slats or joints, (N, clutter, 6)."""
    count = np.floor(draws[:, :1] * (part.clutter + 1))
    stroke = draws[:, 1 : 1 + 7 * part.clutter].reshape(len(draws), part.clutter, 7)
    center = stroke[..., 0:2] * np.array([part.height, part.width])
    angle = 2 * np.pi * stroke[..., 2:3]
    half_length = part.height * _between(stroke[..., 3:4], 0.1, 0.7)
    half = half_length * np.concatenate([np.sin(angle), np.cos(angle)], axis=2)
    thickness = part.height * _between(stroke[..., 4:5], 0.015, 0.05)
    change = _between(stroke[..., 5:6], 0.1, 0.45) * np.where(stroke[..., 6:7] < 0.5, -1.0, 1.0)
    change = change * (np.arange(part.clutter)[None, :, None] < count[:, :, None])
    return np.concatenate([center - half, center + half, thickness, change], axis=2)


def _between(draws: np.ndarray, low: float, high: float) -> np.ndarray:
    return low + (high - low) * draws
