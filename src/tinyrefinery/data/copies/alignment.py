"""Fine detail that two images share once one is moved, turned and scaled onto the other.

Many unrelated images have the same low frequencies, such as a bright sky above dark ground. They
hardly ever have the same fine detail. But a copy that is turned by two degrees or cropped by five
percent has its detail elsewhere. So images are first aligned, by Gauss-Newton steps on shift,
rotation and scale (Baker and Matthews 2004, "Lucas-Kanade 20 years on: a unifying framework").
"""

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np

from tinyrefinery.data.copies.fingerprints import MIDDLE, SIDE, Fingerprints, Window
from tinyrefinery.data.examine import cores

_CHUNK = 128  # pairs at a time: they fit in the processor's cache
_FIRST, _STEPS = 2, 6  # steps before unlikely pairs are dropped, and of all others
_UNLIKELY = 0.25  # shared detail after the first steps below which a pair is dropped
_LIMITS = np.array([3, 3, 1, 1], np.float32)  # pixels of shift; at 8 pixels from the center
_REACH = 8.0  # pixels from the center at which rotation and scale are measured
_DAMPING = 1.0  # keeps steps small where a window has no structure
_BLUR = 5  # pixels per side of the average that is subtracted to leave the fine detail
_COARSE = 3  # pixels per side of the average that makes images as coarse as half their size
_ABOVE, _BELOW, _LEFT, _RIGHT = (
    Window(MIDDLE.top + y, MIDDLE.bottom + y, MIDDLE.left + x, MIDDLE.right + x)
    for y, x in ((-1, 0), (1, 0), (0, -1), (0, 1))
)


def shared_detail(prints: Fingerprints, pairs: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Correlation of the fine detail of aligned images, (P,) float32 from -1 to 1.

    Only the middle of the images counts. If one of them is coarse, both are blurred first. Pairs
    that are unlikely after the first steps of alignment get the value that they have then.

    Args:
        prints: of N images.
        pairs: (P, 2) positions.
        mirrored: (P,) bool: the second image is mirrored first.
    """
    coarse = prints.coarse[pairs[:, 0]] | prints.coarse[pairs[:, 1]]
    detail = np.zeros(len(pairs), np.float32)

    def measure(at: int) -> None:
        """Fill in the pairs of one chunk."""
        chunk = slice(at, at + _CHUNK)
        fixed, moving = prints.thumbs[pairs[chunk, 0]], prints.thumbs[pairs[chunk, 1]]
        moving = np.where(mirrored[chunk, None, None], moving[:, :, ::-1], moving)
        detail[chunk] = _of_pairs(fixed, moving, coarse[chunk])

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(measure, range(0, len(pairs), _CHUNK)))
    return detail


def _of_pairs(fixed: np.ndarray, moving: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """Shared detail of pairs of thumbnails (n, SIDE, SIDE): (n,). `coarse` ones are blurred."""
    aligner = _Aligner(fixed, moving)
    aligner.step(_FIRST)
    detail = aligner.detail(coarse)
    likely = np.flatnonzero(detail >= _UNLIKELY)
    if len(likely):
        aligner = aligner.select(likely)
        aligner.step(_STEPS - _FIRST)
        detail[likely] = np.maximum(detail[likely], aligner.detail(coarse[likely]))
    return detail


class _Aligner:
    """Moves n thumbnails onto others. Its motion is (n, 4): right, down, scale, rotation."""

    def __init__(self, fixed: np.ndarray, moving: np.ndarray) -> None:
        self.moving = moving.astype(np.float32)
        self.motion = np.zeros((len(fixed), 4), np.float32)
        fixed = fixed.astype(np.float32)
        self.target = _standardized(MIDDLE.cut(fixed))
        self.slopes = self._slopes(fixed)  # (n, 4, pixels)
        normal = self.slopes @ self.slopes.transpose(0, 2, 1)
        self.inverse = np.linalg.inv(normal + _DAMPING * np.eye(4, dtype=np.float32))

    def select(self, rows: np.ndarray) -> "_Aligner":
        """The aligner of some of the pairs."""
        part = object.__new__(_Aligner)
        for name in ("moving", "motion", "target", "slopes", "inverse"):
            setattr(part, name, getattr(self, name)[rows])
        return part

    def _places(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Row and column of the window's pixels, and both relative to its center."""
        rows, columns = np.mgrid[MIDDLE.top : MIDDLE.bottom, MIDDLE.left : MIDDLE.right]
        rows, columns = rows.astype(np.float32), columns.astype(np.float32)
        return rows, columns, (rows - rows.mean()) / _REACH, (columns - columns.mean()) / _REACH

    def _slopes(self, fixed: np.ndarray) -> np.ndarray:
        """How each pixel of the standardized window changes with each motion."""
        _, _, down, right = self._places()
        spread = np.maximum(MIDDLE.cut(fixed).std((1, 2), keepdims=True), 1e-3)
        in_y = (_BELOW.cut(fixed) - _ABOVE.cut(fixed)) / (2 * spread)
        in_x = (_RIGHT.cut(fixed) - _LEFT.cut(fixed)) / (2 * spread)
        motions = (in_x, in_y, in_x * right + in_y * down, in_y * right - in_x * down)
        slopes = np.stack(motions, 1).reshape(len(fixed), 4, -1)
        return slopes - slopes.mean(2, keepdims=True)

    def step(self, count: int) -> None:
        """Improve the motion by some Gauss-Newton steps."""
        for _ in range(count):
            error = (self.target - self.moved()).reshape(len(self.motion), -1, 1)
            step = self.inverse @ (self.slopes @ error)
            self.motion = np.clip(self.motion + step[..., 0], -_LIMITS, _LIMITS)

    def moved(self) -> np.ndarray:
        """The moved thumbnails in the window, standardized."""
        rows, columns, down, right = self._places()
        x, y, scale, turn = (self.motion[:, k, None, None] for k in range(4))
        column = columns + x + scale * right - turn * down
        row = rows + y + scale * down + turn * right
        return _standardized(_sampled(self.moving, row, column))

    def detail(self, coarse: np.ndarray) -> np.ndarray:
        """Correlation of the fine detail of both, (n,)."""
        a, b = self.target, self.moved()
        if coarse.any():
            blurred = coarse[:, None, None]
            a = np.where(blurred, _averaged(a, _COARSE), a)
            b = np.where(blurred, _averaged(b, _COARSE), b)
        a, b = a - _averaged(a, _BLUR), b - _averaged(b, _BLUR)
        lengths = np.sqrt((a * a).sum((1, 2)) * (b * b).sum((1, 2)))
        return (a * b).sum((1, 2)) / np.maximum(lengths, 1e-6)


def _standardized(pixels: np.ndarray) -> np.ndarray:
    """Pictures (n, h, w) with mean 0 and standard deviation 1 each."""
    pixels = pixels - pixels.mean((1, 2), keepdims=True)
    spread = np.sqrt((pixels * pixels).mean((1, 2), keepdims=True))
    return pixels / np.maximum(spread, 1e-3)


def _sampled(pictures: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Values between the pixels of pictures (n, SIDE, SIDE), linear: (n, h, w)."""
    row, column = np.clip(row, 0, SIDE - 1.001), np.clip(column, 0, SIDE - 1.001)
    top, left = row.astype(np.int32), column.astype(np.int32)
    down, right = row - top, column - left
    starts = np.arange(len(pictures), dtype=np.int32)[:, None, None] * SIDE * SIDE
    place = starts + top * SIDE + left
    values = np.ascontiguousarray(pictures).ravel()

    def blend(place: np.ndarray) -> np.ndarray:
        """Between a pixel and its right neighbor."""
        first = values.take(place, mode="clip")  # faster than raise; all places are inside
        second = values.take(place + 1, mode="clip")
        return first + right * (second - first)

    above = blend(place)
    return above + down * (blend(place + SIDE) - above)


def _averaged(pixels: np.ndarray, width: int) -> np.ndarray:
    """Averages of pictures (n, h, w) over `width` x `width` pixels."""
    rows, columns = (_averages(side, width) for side in pixels.shape[1:])
    return rows @ pixels @ columns.T


@lru_cache(maxsize=8)
def _averages(side: int, width: int) -> np.ndarray:
    """(side, side): each place's average over `width` places, edges repeated."""
    near = np.clip(np.arange(side)[:, None] + np.arange(width) - width // 2, 0, side - 1)
    weights = np.zeros((side, side), np.float32)
    np.add.at(weights, (np.arange(side)[:, None], near), 1 / width)
    return weights
