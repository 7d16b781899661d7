"""What is drawn for each house-number scene: which digits, where, how large, in which tones.

Every number is a pure function of (seed, split, scene number), so scene 17 is the same in a set of
20 scenes and in one of 20,000.
"""

from dataclasses import dataclass

import numpy as np

from tinyrefinery.data.sources.street_glyphs import Glyphs, pool
from tinyrefinery.random import permutation, uniform

_MARGIN = 1.0  # px between the digits and the border of the image


@dataclass(frozen=True)
class SceneOptions:
    """How scenes are drawn; see `open_street_numbers` for meaning and ranges."""

    digits: int
    height: int
    width: int
    channels: int
    size: tuple[float, float]
    contrast: tuple[float, float]
    clutter: int
    noise: float


@dataclass(frozen=True)
class Layout:
    """Scenes of one split as numbers; N scenes of D digits."""

    labels: np.ndarray
    """The house number, (N,) int64."""
    glyphs: np.ndarray
    """Glyph of each digit, (N, D) int64."""
    places: np.ndarray
    """Top, left, height, width of each digit's ink in pixels, (N, D, 4) float64."""
    ink: np.ndarray
    """Tone of the digits, (N, C), 0 black to 1 white."""
    paper: np.ndarray
    """Tone right behind the digits, (N, C)."""
    wall: np.ndarray
    """Tone away from the digits, (N, C); equals `paper` where there is no plate."""
    plate: np.ndarray
    """Top, left, bottom, right of the plate in pixels, (N, 4); may reach outside the image."""
    light: np.ndarray
    """Change of tone across the image downwards and to the right, (N, 2)."""
    strokes: np.ndarray
    """Clutter, (N, clutter, 6): y, x, y, x of both ends in pixels, half thickness, tone change;
    zero tone change where a scene has fewer strokes."""
    contrast: np.ndarray
    """Absolute difference between ink and paper, (N,)."""
    noise: np.ndarray
    """Standard deviation of the pixel noise as a share of full range, (N,)."""
    blur: np.ndarray
    """Half width of the filter in pixels that the digits are drawn with, (N,), 1 is sharp."""


def lay_out(
    options: SceneOptions, seed: int, split: str, rows: np.ndarray, glyphs: Glyphs
) -> Layout:
    """Draw every number of the scenes `rows` of a split."""

    def draw(what: str, count: int) -> np.ndarray:
        return uniform(seed, f"street {split} {what}", 0, rows, count)

    labels = _labels(seed, split, rows, 10**options.digits)
    chosen = _choose(labels, draw("glyph", options.digits), pool(seed, split, glyphs.values))
    places = _place(options, glyphs.aspects[chosen], draw("place", 4 + 2 * options.digits))
    tone = draw("tone", 8)
    tint = draw("tint", 9).reshape(-1, 3, 3) * 0.3 - 0.15  # ink, paper, wall by red, green, blue
    ink, paper, wall = _tones(options, tone, tint if options.channels == 3 else 0 * tint[..., :1])
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
        strokes=_strokes(options, draw("clutter", 1 + 7 * options.clutter)),
        contrast=_between(tone[:, 0], *options.contrast),
        noise=options.noise * draw("noise", 1)[:, 0],
        blur=_between(tone[:, 7], 1.0, 1.8),
    )


def _tones(
    options: SceneOptions, draws: np.ndarray, tint: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tones (N, C) of ink, paper and wall; tint (N, 3, C) is added to each."""
    contrast = _between(draws[:, 0], *options.contrast)
    dark = draws[:, 1] < 0.5
    paper = draws[:, 2] * (1 - contrast) + np.where(dark, contrast, 0.0)
    ink = np.where(dark, paper - contrast, paper + contrast)
    # Half of the scenes have a plate: the wall around it is lighter or darker than the paper.
    plated = draws[:, 3:4] < 0.5
    shade = np.clip(paper + _between(draws[:, 4], -0.4, 0.4), 0.0, 1.0)
    paper = paper[:, None] + tint[:, 1]
    return ink[:, None] + tint[:, 0], paper, np.where(plated, shade[:, None] + tint[:, 2], paper)


def _labels(seed: int, split: str, rows: np.ndarray, classes: int) -> np.ndarray:
    """Classes in shuffled rounds, so that any two classes differ by one scene at most."""
    rounds = range(int(rows.max(initial=-1)) // classes + 1)
    order = [permutation(seed, f"street {split} class", number, classes) for number in rounds]
    return np.concatenate([*order, np.empty(0, np.int64)]).astype(np.int64)[rows]


def digits_of(labels: np.ndarray, digits: int) -> np.ndarray:
    """The digits of house numbers from left to right, (N, digits) int64."""
    return labels[:, None] // 10 ** np.arange(digits - 1, -1, -1) % 10


def _choose(labels: np.ndarray, draws: np.ndarray, pools: tuple[np.ndarray, ...]) -> np.ndarray:
    """A glyph of the right digit from the pool for each place."""
    values = digits_of(labels, draws.shape[1])
    sizes = np.array([len(numbers) for numbers in pools])
    table = np.zeros((10, sizes.max()), np.int64)
    for digit, numbers in enumerate(pools):
        table[digit, : len(numbers)] = numbers
    return table[values, (draws * sizes[values]).astype(np.int64)]


def _place(options: SceneOptions, aspects: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Boxes of the digits, side by side, each a little off the line, all inside the image."""
    digits = options.digits
    height = _between(draws[:, 0], *options.size)[:, None] * options.height
    heights = height * _between(draws[:, 4 : 4 + digits], 0.92, 1.0)
    sinks = height * _between(draws[:, 4 + digits :], 0.0, 0.12)
    widths = heights * np.clip(aspects, 0.2, 1.2) * _between(draws[:, 1:2], 0.85, 1.1)
    gaps = height * 0.04 + height * 0.16 * draws[:, 1:2]
    run = widths.sum(axis=1, keepdims=True) + gaps * (digits - 1)
    fall = (heights + sinks).max(axis=1, keepdims=True)
    room = np.array([options.height, options.width]) - 2 * _MARGIN
    shrink = np.minimum(1.0, np.minimum(room[0] / fall, room[1] / run))
    heights, sinks, widths, gaps, run, fall = (
        amount * shrink for amount in (heights, sinks, widths, gaps, run, fall)
    )
    before = np.cumsum(widths, axis=1) - widths + gaps * np.arange(digits)
    tops = _MARGIN + draws[:, 2:3] * (room[0] - fall) + sinks
    lefts = _MARGIN + draws[:, 3:4] * (room[1] - run) + before
    return np.stack([tops, lefts, heights, widths], axis=2)


def _plate(places: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """A plate around all digits, .1 to .4 of their height larger on each side."""
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


def _strokes(options: SceneOptions, draws: np.ndarray) -> np.ndarray:
    """Up to `clutter` straight strokes anywhere, such as cables, laths, joints of a wall."""
    shown = np.floor(draws[:, :1] * (options.clutter + 1))
    each = draws[:, 1 : 1 + 7 * options.clutter].reshape(len(draws), options.clutter, 7)
    extent = np.array([options.height, options.width])
    center = each[..., 0:2] * extent
    angle = 2 * np.pi * each[..., 2:3]
    half = options.height * _between(each[..., 3:4], 0.1, 0.7)
    along = half * np.concatenate([np.sin(angle), np.cos(angle)], axis=2)
    thick = options.height * _between(each[..., 4:5], 0.015, 0.05)
    change = _between(each[..., 5:6], 0.1, 0.45) * np.where(each[..., 6:7] < 0.5, -1.0, 1.0)
    change = change * (np.arange(options.clutter)[None, :, None] < shown[:, :, None])
    return np.concatenate([center - along, center + along, thick, change], axis=2)


def _between(draws: np.ndarray, low: float, high: float) -> np.ndarray:
    return low + (high - low) * draws
