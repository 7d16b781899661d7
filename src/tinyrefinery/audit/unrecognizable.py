"""Images that are recognizable at source size, but not at a network's input size.

A tiny network can only memorize them. Train without them, and test on them only to estimate the
gain from a larger input. A refiner with a large input predicts each image twice: at its own size,
and after downscaling to the small size and upscaling again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tinyrefinery.audit.finding import Finding, Strip
from tinyrefinery.data.batches import View
from tinyrefinery.data.dataset import Dataset

SURE = 0.8  # our choice: probability of the label's class at source size
_BATCH = 128
_SHOWN = 12


@dataclass(frozen=True)
class Hardness:
    """A refiner's predictions for n images at two sizes."""

    rows: np.ndarray
    """(n,) manifest rows."""
    large: np.ndarray
    """(n,) probability of the label's class at the refiner's input size."""
    small: np.ndarray
    """(n,) the same after downscaling to the small size."""
    lost: np.ndarray
    """(n,) bool: the prediction after downscaling differs from the label."""

    @property
    def too_hard(self) -> np.ndarray:
        """Rows that are recognized only at the large size, the largest drop first."""
        hard = np.flatnonzero((self.large >= SURE) & self.lost)
        return self.rows[hard[np.argsort(self.small[hard] - self.large[hard], kind="stable")]]


def hardness(
    refiner: Callable[[Tensor], Tensor], view: View, rows: np.ndarray, size: tuple[int, int]
) -> Hardness:
    """Predict images at the refiner's input size and after downscaling.

    Args:
        refiner: normalized images (B, C, h, w) -> probabilities (B, K), independent per image.
        view: renders whole images at the refiner's size.
        rows: (n,) manifest rows.
        size: height and width of the small network's input in pixels.
    """
    large, small, lost = [], [], []
    for batch in _batches(view, rows):
        labels = batch.labels.cpu()
        at_label = torch.arange(len(labels)), labels
        at_large = refiner(batch.images).cpu()
        at_small = refiner(downscaled(batch.images, size)).cpu()
        large.append(at_large[at_label].numpy())  # (B, K) -> (B,)
        small.append(at_small[at_label].numpy())
        lost.append((at_small.argmax(1) != labels).numpy())
    empty = [np.empty(0, np.float32)]
    return Hardness(
        np.asarray(rows, np.int64),
        np.concatenate(large or empty),
        np.concatenate(small or empty),
        np.concatenate(lost or [np.empty(0, bool)]),
    )


def downscaled(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (B, C, h, w) downscaled to `size` with antialiasing, then upscaled again."""
    shape = images.shape[2:]
    low = F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(low, shape, mode="bilinear", align_corners=False)


def too_hard_findings(
    dataset: Dataset, images: Hardness, size: tuple[int, int], remedy: str
) -> list[Finding]:
    """Report the images that are too hard in one finding, if there are any.

    Args:
        dataset: the audited data.
        images: the refiner's predictions.
        size: height and width of the small input in pixels.
        remedy: how to leave out the images of a list, with `{}` for its file.
    """
    rows = images.too_hard
    if not len(rows):
        return []
    place = {int(row): number for number, row in enumerate(images.rows)}
    shown = [int(row) for row in rows[:_SHOWN]]
    captions = [f"{images.large[place[r]]:.2f} -> {images.small[place[r]]:.2f}" for r in shown]
    return [
        Finding(
            "too_hard",
            "note",
            f"{len(rows)} of {len(images.rows)} images are recognizable at source size, but not at "
            f"{size[0]}x{size[1]} pixels",
            str(dataset.manifest.column("path")[shown[0]]),
            f"use a larger input, or {remedy.format('too_hard.txt')}",
            len(rows),
            f"The refiner predicts the class with a probability of {SURE} or more, and another "
            "class after downscaling.",
            (Strip("largest drop of the class's probability", tuple(shown), tuple(captions)),),
            tuple(int(row) for row in rows),
            "too_hard.txt",
            {"size": list(size), "asked": len(images.rows)},
        )
    ]


def _batches(view: View, rows: np.ndarray) -> Iterator:
    with torch.inference_mode():
        for at in range(0, len(rows), _BATCH):
            yield view.render(rows[at : at + _BATCH], 0)
