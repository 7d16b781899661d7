"""Mixup and CutMix, as pure functions of (seed, stream, row): the same two crops mix anywhere.

The training rows are shuffled and taken in pairs. Each crop is mixed with that of its partner, with
a share of its own. Batches of training follow the same order, so most partners are in one batch,
and no image is decoded twice.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tinyrefinery import random
from tinyrefinery.options.crops import Mix
from tinyrefinery.shapes import Float

DRAWS = 5  # random numbers per crop


@dataclass(frozen=True)
class Mixing:
    """How the crops of a batch are mixed."""

    partners: np.ndarray
    """(B,) manifest rows whose crops are mixed in; a crop's own row where nothing is."""
    own: np.ndarray
    """(B,) share of a crop's own pixels, so of its label: about 0.5 to 1."""
    boxes: np.ndarray
    """(B, 4) top, left, bottom and right of the partner's part, as shares of the crop's sides. All
    zero where both crops are averaged."""

    def subset(self, which: slice) -> "Mixing":
        """The mixing of a contiguous part of the batch."""
        return Mixing(self.partners[which], self.own[which], self.boxes[which])

    def apply(
        self, images: Float[Tensor, "B C h w"], others: Float[Tensor, "B C h w"]
    ) -> Float[Tensor, "B C h w"]:
        """Mixed crops, (B, C, h, w), of any size.

        Args:
            images: the crops.
            others: those of their partners.
        """
        has_box = self.boxes.any(axis=1)
        own = torch.as_tensor(np.where(has_box, 1.0, self.own), dtype=images.dtype)
        own = own.to(images.device)[:, None, None, None]  # (B,) -> (B, 1, 1, 1)
        mixed = images * own + others * (1 - own)
        height, width = images.shape[2:]
        edges = np.rint(self.boxes * [height, width, height, width]).astype(int)
        for place in np.flatnonzero(has_box).tolist():
            top, left, bottom, right = edges[place].tolist()
            mixed[place, :, top:bottom, left:right] = others[place, :, top:bottom, left:right]
        return mixed


def pair_up(order: np.ndarray) -> np.ndarray:
    """The partner of each row, (largest row + 1,) int64; -1 for rows without one.

    Args:
        order: the training rows in random order, (N,). Neighbors in it are partners. If N is odd,
            the last one has none.
    """
    partners = np.full(int(order.max(initial=-1)) + 1, -1, np.int64)
    pairs = order[: len(order) // 2 * 2].reshape(-1, 2)
    partners[pairs[:, 0]], partners[pairs[:, 1]] = pairs[:, 1], pairs[:, 0]
    return partners


def draw_mixing(
    part: Mix,
    seed: int,
    stream: int,
    rows: np.ndarray,
    partners: np.ndarray,
    size: tuple[int, int],
) -> Mixing:
    """Draw how crops are mixed.

    The share of mixup is drawn from Beta(alpha, alpha), and a crop keeps the larger part of it. As
    both partners are mixed, this changes no mixture of mixup, and a crop's own class is the main
    one (arXiv 1710.09412). CutMix puts a box of the partner's crop at a random place, with the area
    that the smaller part has (arXiv 1905.04899). Its edges are at whole pixels.

    Args:
        part: the options.
        seed: of the view.
        stream: number of the crop stream.
        rows: manifest rows, (B,).
        partners: of each manifest row, see `pair_up`. Rows beyond it have none.
        size: height and width of the crops in pixels.
    """
    from scipy.special import betaincinv  # takes a moment to import

    draws = random.uniform(seed, "mix", stream, rows, DRAWS)  # (B, 5)
    known = rows < len(partners)
    partner = np.where(known, partners[np.where(known, rows, 0)] if len(partners) else -1, -1)
    mixed = (partner >= 0) & (draws[:, 0] < part.share)
    both = part.mixup > 0 and part.cutmix > 0
    cut = draws[:, 1] < 0.5 if both else np.full(len(rows), part.cutmix > 0)
    alpha = np.where(cut, part.cutmix, part.mixup)
    larger = betaincinv(alpha, alpha, draws[:, 2])
    larger = np.where(mixed, np.maximum(larger, 1 - larger), 1.0)
    boxes = np.where((mixed & cut)[:, None], _boxes(1 - larger, draws[:, 3:], size), 0.0)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    own = np.where(cut, 1 - area, larger)
    return Mixing(np.where(own < 1, partner, rows), own, boxes)


def _boxes(area: np.ndarray, centers: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes (B, 4) of an area around centers (B, 2), cut at the borders; shares of the sides."""
    half = np.sqrt(area)[:, None] / 2
    corners = np.concatenate([centers - half, centers + half], axis=1).clip(0, 1)
    sides = np.array([*size, *size])
    return np.rint(corners * sides) / sides
