"""From rows of a data set to batches of normalized crops, in an order that can be replayed."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from tinyrefinery import random
from tinyrefinery.data import crops as crop_draws
from tinyrefinery.data import transforms
from tinyrefinery.data.crops import Crops
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.images import ChangedImageError
from tinyrefinery.data.moving import moved
from tinyrefinery.errors import DataError
from tinyrefinery.options.crops import IMAGENET_MEAN, IMAGENET_STD, Augment, Crop

_CPU = torch.device("cpu")
DRAW_AT_ONCE = 32  # batches


@dataclass
class Batch:
    """Crops of some samples, ready for a network."""

    images: Tensor
    """Normalized crops, (B, C, h, w) float."""
    labels: Tensor
    """Given classes, (B,) int64."""
    rows: np.ndarray
    """Manifest rows, (B,) int64."""
    epoch: int
    crops: Crops

    def part(self, which: slice) -> "Batch":
        """Some of the batch's crops, one after the other."""
        parts = (self.images[which], self.labels[which], self.rows[which])
        return Batch(*parts, self.epoch, self.crops.part(which))


class Renders(Protocol):
    """What batches are loaded from: a `View`, or whatever else draws and renders by row."""

    @property
    def seed(self) -> int:
        """Of the draws, and of the order of the samples."""
        ...

    def crops(self, rows: np.ndarray, epoch: int) -> Crops:
        """The draws of these rows in this epoch."""
        ...

    def render_many(
        self, rows: np.ndarray, epochs: Sequence[int], draws: Sequence[Crops] | None = None
    ) -> list[Batch]:
        """The batches of these rows in several epochs."""
        ...


@dataclass(frozen=True)
class View:
    """A data set seen through one kind of crop: rows and an epoch give pixels, always the same."""

    dataset: Dataset
    crop: Crop
    seed: int = 0
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    device: torch.device = _CPU
    pool: int | None = None
    """Streams of crops that epochs go through again and again; None: each epoch has its own."""
    augment: Augment | None = None
    """Random changes of the crops; None: none."""

    def stream(self, epoch: int) -> int:
        """Number of the stream that an epoch's crops are drawn from."""
        return epoch if self.pool is None else epoch % self.pool

    def crops(self, rows: np.ndarray, epoch: int) -> Crops:
        """The draws of these rows in this epoch."""
        sizes = self.dataset.images.sizes[rows]
        stream = self.stream(epoch)
        return crop_draws.draw(self.crop, self.seed, stream, rows, sizes, self.augment)

    def pixels(self, rows: np.ndarray, crops: Crops) -> Tensor:
        """Crops as float (B, C, h, w) in 0-255, as a person would look at them."""
        return self._pixels(rows, [crops])[0]

    def render(self, rows: np.ndarray, epoch: int, crops: Crops | None = None) -> Batch:
        """The batch of these rows in this epoch, normalized; `crops` if they are drawn already."""
        return self.render_many(rows, [epoch], None if crops is None else [crops])[0]

    def render_many(
        self, rows: np.ndarray, epochs: Sequence[int], draws: Sequence[Crops] | None = None
    ) -> list[Batch]:
        """The batches of these rows in several epochs: each image is decoded once for all of them.

        They are those that `render` makes epoch by epoch, to the last bit.

        Args:
            rows: manifest rows, (B,).
            epochs: whose crops.
            draws: the crops of each epoch, if they are drawn already.
        """
        rows = np.asarray(rows, dtype=np.int64)
        draws = [self.crops(rows, epoch) for epoch in epochs] if draws is None else draws
        labels = moved(self.dataset.manifest.labels[rows], self.device)
        return [
            Batch(transforms.normalize_(images, self.mean, self.std), labels, rows, epoch, crops)
            for images, epoch, crops in zip(self._pixels(rows, draws), epochs, draws, strict=True)
        ]

    def _pixels(self, rows: np.ndarray, draws: Sequence[Crops]) -> list[Tensor]:
        data, size = self.dataset, self.crop.size
        try:
            cut = transforms.crop_batches(data.images, rows, draws, size)
        except ChangedImageError as error:
            path = data.manifest.column("path")[error.row]
            raise DataError(f"data '{data.name}': {path}: {error}") from error
        return [self._finished(*each) for each in zip(cut, draws, strict=True)]

    def _finished(self, images: Tensor, crops: Crops) -> Tensor:
        images = moved(images, self.device)
        if crops.angle is not None:
            images = transforms.rotate(images, torch.as_tensor(crops.angle))
        if crops.color is not None:
            images = transforms.recolor(images, torch.as_tensor(crops.color))
        return images

    def truth(self, rows: np.ndarray, epoch: int) -> np.ndarray | None:
        """True label distributions of these crops, (B, K); None where the scene is not known."""
        if self.dataset.truth is None:
            return None
        sizes = self.dataset.images.sizes[rows].astype(np.float64)
        return self.dataset.truth(rows, self.crops(rows, epoch).source_boxes(sizes))


def shuffled(rows: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch: a fresh permutation of `rows`, the same wherever it is made."""
    return rows[random.permutation(seed, "order", epoch, len(rows))]


def evenly(rows: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the rows, evenly spaced in their order; all of them where they are few."""
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)]


def split_batches(rows: np.ndarray, size: int, *, drop_last: bool) -> list[np.ndarray]:
    """Cut rows into runs of `size`; a ragged tail is kept, or dropped unless it is all there is."""
    size = min(size, len(rows)) if drop_last else size
    whole = [rows[i : i + size] for i in range(0, len(rows), size)]
    return whole[:-1] if drop_last and len(whole[-1]) < size else whole


def load(
    view: Renders, batches: Sequence[np.ndarray], epoch: int, *, workers: int = 0
) -> Iterator[Batch]:
    """Render batches of rows in the given order, ahead of use in `workers` threads.

    Decoding and resizing release the interpreter's lock, so threads serve as well as processes and
    copy nothing. The batches are the same for any number of workers.
    """
    for (batch,) in load_many(view, batches, [epoch], workers=workers):
        yield batch


def load_many(
    view: Renders, batches: Sequence[np.ndarray], epochs: Sequence[int], *, workers: int = 0
) -> Iterator[list[Batch]]:
    """As `load`, but of several epochs at once: for each batch of rows, one `Batch` an epoch.

    Photographs are decoded once for all these epochs, which is most of their cost.
    """
    if workers == 0:
        for rows, draws in _drawn(view, batches, epochs):
            yield view.render_many(rows, epochs, draws)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="crops")
    try:
        ahead: deque = deque()
        for rows, draws in _drawn(view, batches, epochs):
            ahead.append(pool.submit(view.render_many, rows, epochs, draws))
            if len(ahead) > workers + 1:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _drawn(
    view: Renders, batches: Sequence[np.ndarray], epochs: Sequence[int]
) -> Iterator[tuple[np.ndarray, list[Crops]]]:
    """Batches of rows with their crops, drawn for many batches at once, which is cheaper."""
    for start in range(0, len(batches), DRAW_AT_ONCE):
        some = batches[start : start + DRAW_AT_ONCE]
        draws = [view.crops(np.concatenate(some), epoch) for epoch in epochs]
        ends = np.cumsum([len(rows) for rows in some])
        for rows, end in zip(some, ends, strict=True):
            mine = slice(int(end) - len(rows), int(end))
            yield rows, [crops.part(mine) for crops in draws]
