"""Images that show their class at source size and no longer at a network's input size.

They teach a tiny network nothing but noise, and it can't be blamed for them: train without them,
and test it on them only to know what a larger input would bring. A refiner, a network that sees
images large, is asked twice: about the image as it is, and about the image reduced to the small
size and enlarged again.
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

SURE = 0.8  # our choice: probability of the given class at source size
_BATCH = 128
_SHOWN = 12


@dataclass(frozen=True)
class Hardness:
    """Of n images."""

    rows: np.ndarray
    """(n,) manifest rows."""
    large: np.ndarray
    """(n,) probability of the given class as the refiner sees the image."""
    small: np.ndarray
    """(n,) the same after reduction to the small size."""
    lost: np.ndarray
    """(n,) bool: another class is ahead after reduction."""

    @property
    def too_hard(self) -> np.ndarray:
        """Rows that were sure and are lost, the largest fall first."""
        mine = np.flatnonzero((self.large >= SURE) & self.lost)
        return self.rows[mine[np.argsort(self.small[mine] - self.large[mine], kind="stable")]]


def hardness(
    refiner: Callable[[Tensor], Tensor], view: View, rows: np.ndarray, size: tuple[int, int]
) -> Hardness:
    """Ask a refiner about images at its own size and at a smaller one.

    Args:
        refiner: normalized images (B, C, h, w) -> probabilities (B, K), each row on its own.
        view: whole images at the refiner's size.
        rows: (n,) manifest rows.
        size: height, width of the small network's input in pixels.
    """
    large, small, lost = [], [], []
    for batch in _batches(view, rows):
        own = torch.arange(len(batch.labels)), batch.labels.cpu()
        first = refiner(batch.images).cpu()
        second = refiner(as_seen_at(batch.images, size)).cpu()
        large.append(first[own].numpy())
        small.append(second[own].numpy())
        lost.append((second.argmax(1) != own[1]).numpy())
    empty = [np.empty(0, np.float32)]
    return Hardness(
        np.asarray(rows, np.int64),
        np.concatenate(large or empty),
        np.concatenate(small or empty),
        np.concatenate(lost or [np.empty(0, bool)]),
    )


def as_seen_at(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (B, C, h, w) reduced to `size` with an antialias and enlarged again."""
    shape = images.shape[2:]
    low = F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(low, shape, mode="bilinear", align_corners=False)


def too_hard_findings(
    dataset: Dataset, found: Hardness, size: tuple[int, int], mend: str
) -> list[Finding]:
    """One finding, if any image is too hard.

    Args:
        dataset: what was audited.
        found: what the refiner said.
        size: height, width of the small input.
        mend: the remedy of a list of rows to leave out, with `{}` for the file.
    """
    rows = found.too_hard
    if not len(rows):
        return []
    place = {int(row): number for number, row in enumerate(found.rows)}
    shown = [int(row) for row in rows[:_SHOWN]]
    told = [f"{found.large[place[r]]:.2f} -> {found.small[place[r]]:.2f}" for r in shown]
    title = (
        f"{len(rows)} of {len(found.rows)} images are recognized at source size and lost at "
        f"{size[0]}x{size[1]}"
    )
    return [
        Finding(
            "too_hard",
            "note",
            title,
            str(dataset.manifest.column("path")[shown[0]]),
            f"a larger input, or {mend.format('too_hard.txt')}",
            len(rows),
            f"The refiner gives the class {SURE} or more, and another one more after reduction.",
            (Strip("largest fall of the given class's probability", tuple(shown), tuple(told)),),
            tuple(int(row) for row in rows),
            "too_hard.txt",
            {"size": list(size), "asked": len(found.rows)},
        )
    ]


def _batches(view: View, rows: np.ndarray) -> Iterator:
    with torch.inference_mode():
        for at in range(0, len(rows), _BATCH):
            yield view.render(rows[at : at + _BATCH], 0)
