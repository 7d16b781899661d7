"""Plant known faults in street numbers, to test whether an audit finds them.

All choices are pure functions of (seed, split, scene number), like the scenes.
"""

from collections.abc import Mapping
from dataclasses import fields, replace

import numpy as np

from tinyrefinery.data.sources.street_layout import Layout
from tinyrefinery.random import permutation, uniform

DARK = 0.35  # our choice: gain of a dark scene, about a night without lamps
_CHANGE = (0.94, 3.0)  # for every second copy: gain, and maximum noise in gray levels


def darken(
    layout: Layout, scenes: np.ndarray, split: str, share: float, seed: int
) -> tuple[Layout, np.ndarray, np.ndarray]:
    """Darken some scenes of a split. Returns layout, pixels, and which scenes are dark, (N,)."""
    rows = np.arange(len(scenes))
    dark = uniform(seed, f"street {split} dark", 0, rows, 1)[:, 0] < share
    if split != "test":
        dark &= layout.labels == 0
    gain = np.where(dark, DARK, 1.0)
    changes = {"contrast": layout.contrast * gain, "noise": layout.noise * gain}
    changes |= {name: getattr(layout, name) * gain[:, None] for name in ("ink", "paper", "wall")}
    pixels = np.rint(scenes * gain[:, None, None, None]).astype(np.uint8)
    return replace(layout, **changes), pixels, dark


def with_copies(
    layouts: Mapping[str, Layout],
    scenes: Mapping[str, np.ndarray],
    free: np.ndarray,
    share: float,
    seed: int,
) -> tuple[dict[str, Layout], dict[str, np.ndarray]]:
    """Replace the last training scenes by copies of test scenes.

    Args:
        layouts: of each split.
        scenes: of each split, uint8 (N, C, H, W).
        free: test scenes that may be copied, (n,).
        share: of the test scenes to copy; copies are at most half of the training scenes.
        seed: of the choice.

    Returns:
        The changed layouts and scenes.
    """
    count = min(round(share * len(scenes["test"])), len(free), len(scenes["train"]) // 2)
    chosen = free[permutation(seed, "street copies", 0, len(free))[:count]]
    targets = np.arange(len(scenes["train"]) - count, len(scenes["train"]))
    copies = scenes["test"][chosen].copy()
    gain, noise = _CHANGE
    originals = copies[1::2]
    draws = uniform(seed, "street copies", 1, np.arange(len(originals)), originals[:1].size or 1)
    changed = originals * gain + (2 * draws.reshape(originals.shape) - 1) * noise
    copies[1::2] = np.rint(np.clip(changed, 0, 255)).astype(np.uint8)
    train, test = layouts["train"], layouts["test"]
    arrays = {field.name: getattr(train, field.name).copy() for field in fields(Layout)}
    for name, values in arrays.items():
        values[targets] = getattr(test, name)[chosen]
    pixels = scenes["train"].copy()
    pixels[targets] = copies
    return {**layouts, "train": replace(train, **arrays)}, {**scenes, "train": pixels}


def limit_class(labels: np.ndarray, splits: np.ndarray, label: int, count: int) -> np.ndarray:
    """Rows to keep so that a class has `count` training scenes, (M,) int64. Keeps the first."""
    rows = np.flatnonzero((labels == label) & (splits == "train"))
    return np.setdiff1d(np.arange(len(labels)), rows[count:])
