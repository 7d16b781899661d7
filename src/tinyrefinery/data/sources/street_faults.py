"""Faults planted in street numbers, known by row, to see whether an audit finds them.

Every choice is a pure function of (seed, split, scene number), as the scenes are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from tinyrefinery.data.sources.street_layout import Layout
from tinyrefinery.random import permutation, uniform

DARK = 0.35  # our choice: gain of a dark scene, about a night without a lamp
_CHANGE = (0.94, 3.0)  # of every second copy: gain, and grey levels of noise either way


@dataclass(frozen=True)
class Faults:
    """What is to be wrong with the data; nothing by default."""

    wrong_labels: float = 0.0
    """Share of training labels replaced by another class."""
    dark_class: float = 0.0
    """Share of the first class's scenes that are dark in training and validation, where no scene of
    another class is; in the test split, the device's view of the world, the same share of all."""
    copies: float = 0.0
    """Share of the test scenes that stand in training too, half of them slightly changed."""
    rare_class: int | None = None
    """Training scenes that the last class keeps."""


def darkened(
    layout: Layout, scenes: np.ndarray, split: str, share: float, seed: int
) -> tuple[Layout, np.ndarray, np.ndarray]:
    """Scenes of a split with some of them dark, their layout, and which are dark (N,)."""
    rows = np.arange(len(scenes))
    dark = uniform(seed, f"street {split} dark", 0, rows, 1)[:, 0] < share
    if split != "test":
        dark &= layout.labels == 0
    gain = np.where(dark, DARK, 1.0)
    tones = {"contrast": layout.contrast * gain, "noise": layout.noise * gain}
    tones |= {name: getattr(layout, name) * gain[:, None] for name in ("ink", "paper", "wall")}
    pixels = np.rint(scenes * gain[:, None, None, None]).astype(np.uint8)
    return replace(layout, **tones), pixels, dark


def with_copies(
    layouts: Mapping[str, Layout],
    scenes: Mapping[str, np.ndarray],
    free: np.ndarray,
    share: float,
    seed: int,
) -> tuple[dict[str, Layout], dict[str, np.ndarray]]:
    """Layouts and scenes whose last training scenes are copies of test scenes.

    Args:
        layouts: of each split.
        scenes: of each split, uint8 (N, C, H, W).
        free: test scenes that may be copied, (n,).
        share: of the test scenes to copy; at most half of training becomes copies.
        seed: of the choice.
    """
    count = min(round(share * len(scenes["test"])), len(free), len(scenes["train"]) // 2)
    chosen = free[permutation(seed, "street copies", 0, len(free))[:count]]
    into = np.arange(len(scenes["train"]) - count, len(scenes["train"]))
    copies = scenes["test"][chosen].copy()
    gain, noise = _CHANGE
    changed = copies[1::2]
    grain = uniform(seed, "street copies", 1, np.arange(len(changed)), changed[:1].size or 1)
    moved = changed * gain + (2 * grain.reshape(changed.shape) - 1) * noise
    copies[1::2] = np.rint(np.clip(moved, 0, 255)).astype(np.uint8)
    train, test = layouts["train"], layouts["test"]
    names = [field.name for field in fields(Layout)]
    parts = {name: getattr(train, name).copy() for name in names}
    for name, values in parts.items():
        values[into] = getattr(test, name)[chosen]
    pixels = scenes["train"].copy()
    pixels[into] = copies
    return {**layouts, "train": replace(train, **parts)}, {**scenes, "train": pixels}


def kept_of_rare(labels: np.ndarray, splits: np.ndarray, label: int, count: int) -> np.ndarray:
    """Rows that stay when a class keeps `count` training scenes, the first ones, (M,) int64."""
    mine = np.flatnonzero((labels == label) & (splits == "train"))
    return np.setdiff1d(np.arange(len(labels)), mine[count:])
