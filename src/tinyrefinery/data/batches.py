"""Load batches of normalized crops from rows of a dataset, in a reproducible order."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from tinyrefinery import random
from tinyrefinery.data import augmentation as crop_draws
from tinyrefinery.data import transforms
from tinyrefinery.data.augmentation import Crops
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.device import to_device
from tinyrefinery.data.images import ChangedImageError, EncodedImages, Images
from tinyrefinery.data.manifest import UNLABELLED
from tinyrefinery.data.mixing import Mixing, draw_mixing, pair_up
from tinyrefinery.data.rand_augment import apply_operations
from tinyrefinery.data.shrunk import shrunk
from tinyrefinery.errors import DataError
from tinyrefinery.options.crops import IMAGENET_MEAN, IMAGENET_STD, Augment, Crop, Mix

Size = tuple[int, int]
"""Height and width in pixels."""
_CPU = torch.device("cpu")
DRAW_AT_ONCE = 32  # batches; random numbers are cheaper in bulk


@dataclass
class Batch:
    """Crops of some samples, normalized for a network."""

    images: Tensor
    """Normalized crops, (B, C, h, w) float."""
    labels: Tensor
    """Given classes, (B,) int64."""
    rows: np.ndarray
    """Manifest rows, (B,) int64."""
    epoch: int
    crops: Crops
    at: dict[Size, Tensor] = field(default_factory=dict)
    """The same crops at other sizes, normalized like `images`: size -> (B, C, size)."""
    mixing: Mixing | None = None
    """How the crops are mixed with others; None: they are not."""

    def subset(self, which: slice) -> "Batch":
        """A contiguous part of the batch."""
        arrays = (self.images[which], self.labels[which], self.rows[which])
        at = {size: images[which] for size, images in self.at.items()}
        mixing = None if self.mixing is None else self.mixing.subset(which)
        return Batch(*arrays, self.epoch, self.crops.subset(which), at, mixing)


class BatchSource(Protocol):
    """A source of batches: a `View`, or anything else that renders rows."""

    @property
    def seed(self) -> int:
        """Seed of the crops and of the order of samples."""
        ...

    def crops(self, rows: np.ndarray, epoch: int) -> Crops:
        """Draw the crops of these rows in this epoch."""
        ...

    def render_many(
        self, rows: np.ndarray, epochs: Sequence[int], draws: Sequence[Crops] | None = None
    ) -> list[Batch]:
        """Render these rows in several epochs, one batch per epoch."""
        ...


@dataclass(frozen=True)
class View:
    """A dataset with one kind of crop. The same rows and epoch always give the same pixels."""

    dataset: Dataset
    crop: Crop
    seed: int = 0
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    device: torch.device = _CPU
    pool: int | None = None
    """Number of crop streams, which epochs repeat in turn; None: each epoch has its own."""
    augment: Augment | None = None
    """Random changes of the crops; None: none."""
    sizes: tuple[Size, ...] = ()
    """Other sizes at which batches hold the same crops too, for networks that take these."""

    def stream(self, epoch: int) -> int:
        """Number of the crop stream of an epoch."""
        return epoch if self.pool is None else epoch % self.pool

    def crops(self, rows: np.ndarray, epoch: int) -> Crops:
        """Draw the crops of these rows in this epoch."""
        sizes = self.images.sizes[rows]
        stream = self.stream(epoch)
        return crop_draws.draw(self.crop, self.seed, stream, rows, sizes, self.augment)

    def pixels(self, rows: np.ndarray, crops: Crops) -> Tensor:
        """Render crops as float (B, C, h, w) in 0-255, not normalized."""
        return self._pixels(rows, [crops], [self.crop.size], self.images)[0]

    def render(self, rows: np.ndarray, epoch: int, crops: Crops | None = None) -> Batch:
        """Render these rows in this epoch as a batch. Pass `crops` if they are already drawn."""
        return self.render_many(rows, [epoch], None if crops is None else [crops])[0]

    def render_many(
        self, rows: np.ndarray, epochs: Sequence[int], draws: Sequence[Crops] | None = None
    ) -> list[Batch]:
        """Render these rows in several epochs, one batch per epoch. Decodes each image once.

        The batches equal those of `render` to the last bit.

        Args:
            rows: manifest rows, (B,).
            epochs: the epochs whose crops are rendered.
            draws: the crops of each epoch, if they are already drawn.
        """
        rows = np.asarray(rows, dtype=np.int64)
        draws = [self.crops(rows, epoch) for epoch in epochs] if draws is None else draws
        if self.mix is None:
            return self._render_plain(rows, epochs, draws)
        pairs = zip(epochs, draws, strict=True)  # each epoch has other partners
        return [self._render_mixed(rows, epoch, crops) for epoch, crops in pairs]

    def _render_plain(
        self, rows: np.ndarray, epochs: Sequence[int], draws: Sequence[Crops]
    ) -> list[Batch]:
        labels = to_device(self.dataset.manifest.labels[rows], self.device)
        at = {
            size: [transforms.normalize_(part, self.mean, self.std) for part in parts]
            for size, parts in self._all_sizes(rows, draws).items()
        }
        return [
            Batch(
                at[self.crop.size][i],
                labels,
                rows,
                epoch,
                crops,
                {size: at[size][i] for size in self.sizes},
            )
            for i, (epoch, crops) in enumerate(zip(epochs, draws, strict=True))
        ]

    @property
    def mix(self) -> Mix | None:
        """How training crops are mixed in pairs; None: they are not."""
        return None if self.augment is None else self.augment.mix

    def mixing(self, rows: np.ndarray, epoch: int) -> Mixing | None:
        """How the crops of these rows are mixed in this epoch; None: they are not."""
        if self.mix is None:
            return None
        stream = self.stream(epoch)
        if stream not in self._partners:
            order = shuffled(self._rows_to_mix, self.seed, stream)
            self._partners.clear()  # only the current stream's are needed again
            self._partners[stream] = pair_up(order)
        partners = self._partners.get(stream)
        if partners is None:  # another thread has moved on to another stream
            partners = pair_up(shuffled(self._rows_to_mix, self.seed, stream))
        return draw_mixing(self.mix, self.seed, stream, rows, partners, self.crop.size)

    @cached_property
    def _partners(self) -> dict[int, np.ndarray]:
        return {}

    @cached_property
    def _rows_to_mix(self) -> np.ndarray:
        """The rows that training goes through, in its order before it is shuffled."""
        manifest = self.dataset.manifest
        return np.concatenate([manifest.rows("train"), manifest.rows(UNLABELLED)])

    def _render_mixed(self, rows: np.ndarray, epoch: int, crops: Crops) -> Batch:
        """A batch of mixed crops. Partners that are not among the rows are rendered besides."""
        mixing = self.mixing(rows, epoch)
        assert mixing is not None
        missing = np.setdiff1d(mixing.partners, rows)
        draws = crops.followed_by(self.crops(missing, epoch)) if len(missing) else crops
        every = np.concatenate([rows, missing])
        (plain,) = self._render_plain(every, [epoch], [draws])
        order = np.argsort(every, kind="stable")
        places = order[np.searchsorted(every, mixing.partners, sorter=order)]
        count, chosen = len(rows), to_device(places, self.device)
        images = mixing.apply(plain.images[:count], plain.images[chosen])
        at = {
            size: mixing.apply(pixels[:count], pixels[chosen]) for size, pixels in plain.at.items()
        }
        return Batch(images, plain.labels[:count], rows, epoch, crops, at, mixing)

    @cached_property
    def images(self) -> Images:
        """The images that crops are cut from: the dataset's, with large photographs shrunk."""
        return self._images_for(self.crop.size)

    def _images_for(self, size: Size) -> Images:
        images, manifest = self.dataset.images, self.dataset.manifest
        if not isinstance(images, EncodedImages):
            return images
        return shrunk(images, lambda: manifest.column("id"), self.crop, size)

    @cached_property
    def _images_at(self) -> dict[Size, Images]:
        """The images that crops of each of `sizes` are cut from; the same object where possible."""
        found: dict[Size, Images] = {}
        for size in self.sizes:
            images = self._images_for(size)
            known = [self.images, *found.values()]
            found[size] = next((k for k in known if (k.sizes == images.sizes).all()), images)
        return found

    def _all_sizes(self, rows: np.ndarray, draws: Sequence[Crops]) -> dict[Size, list[Tensor]]:
        """Pixels of each draw, not normalized, at the view's size and at all others."""
        drawn_for = self.images.sizes[rows]
        wanted = [(self.images, self.crop.size, list(draws))]
        for size, images in self._images_at.items():
            cut_from = images.sizes[rows]
            crops = [draw.for_another_size(drawn_for, cut_from) for draw in draws]
            wanted.append((images, size, crops))
        found: dict[Size, list[Tensor]] = {}
        # One decoding serves all sizes that are cut from the same images.
        for source in {id(images): images for images, _, _ in wanted}.values():
            these = [(size, crops) for images, size, crops in wanted if images is source]
            sizes = [size for size, crops in these for _ in crops]
            pixels = self._pixels(
                rows, [draw for _, crops in these for draw in crops], sizes, source
            )
            for number, (size, crops) in enumerate(these):
                found[size] = pixels[number * len(crops) : (number + 1) * len(crops)]
        return found

    def _pixels(
        self, rows: np.ndarray, draws: Sequence[Crops], sizes: Sequence[Size], images: Images
    ) -> list[Tensor]:
        data = self.dataset
        try:
            cut = transforms.crop_batches(images, rows, draws, sizes)
        except ChangedImageError as error:
            path = data.manifest.column("path")[error.row]
            raise DataError(f"data '{data.name}': {path}: {error}") from error
        return [self._augment(images, crops) for images, crops in zip(cut, draws, strict=True)]

    def _augment(self, images: Tensor, crops: Crops) -> Tensor:
        """Move crops (B, C, h, w) to the device, rotate, recolor and change them."""
        images = to_device(images, self.device)
        if crops.angle is not None:
            images = transforms.rotate(images, torch.as_tensor(crops.angle))
        if crops.color is not None:
            images = transforms.recolor(images, torch.as_tensor(crops.color))
        part = None if self.augment is None else self.augment.rand_augment
        if crops.operations is not None and part is not None:
            images = apply_operations(images, crops.operations, part.magnitude)
        return images

    def truth(self, rows: np.ndarray, epoch: int) -> np.ndarray | None:
        """True label distributions of these crops, (B, K); None if the scenes are unknown."""
        if self.dataset.truth is None:
            return None
        own = self._truth(rows, epoch)
        mixing = self.mixing(rows, epoch)
        if mixing is None:
            return own
        share = mixing.own[:, None]
        return share * own + (1 - share) * self._truth(mixing.partners, epoch)

    def _truth(self, rows: np.ndarray, epoch: int) -> np.ndarray:
        """True label distributions of crops before they are mixed, (B, K)."""
        assert self.dataset.truth is not None
        sizes = self.images.sizes[rows].astype(np.float64)
        return self.dataset.truth(rows, self.crops(rows, epoch).source_boxes(sizes))


def shuffled(rows: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch: a permutation of `rows` that depends on seed and epoch only."""
    return rows[random.permutation(seed, "order", epoch, len(rows))]


def evenly_spaced(rows: np.ndarray, count: int) -> np.ndarray:
    """Choose at most `count` rows, evenly spaced in their order."""
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)]


def split_batches(rows: np.ndarray, size: int, *, drop_last: bool) -> list[np.ndarray]:
    """Cut rows into batches of `size`.

    With `drop_last`, an incomplete last batch is dropped, unless it is the only one.
    """
    size = min(size, len(rows)) if drop_last else size
    batches = [rows[i : i + size] for i in range(0, len(rows), size)]
    return batches[:-1] if drop_last and len(batches[-1]) < size else batches


def load(
    view: BatchSource, batches: Sequence[np.ndarray], epoch: int, *, workers: int = 0
) -> Iterator[Batch]:
    """Render batches of rows in the given order, in advance, in `workers` threads.

    Decoding and resizing release the GIL, so threads are as fast as processes and need no copies.
    The number of workers has no effect on the batches.
    """
    for (batch,) in load_many(view, batches, [epoch], workers=workers):
        yield batch


def load_many(
    view: BatchSource, batches: Sequence[np.ndarray], epochs: Sequence[int], *, workers: int = 0
) -> Iterator[list[Batch]]:
    """Like `load`, for several epochs at once: yields one `Batch` per epoch for each batch of rows.

    Photographs are decoded once for all these epochs. Decoding is most of their cost.
    """
    if workers == 0:
        for rows, draws in _with_crops(view, batches, epochs):
            yield view.render_many(rows, epochs, draws)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="crops")
    try:
        # A bounded queue keeps all threads busy and limits the memory.
        pending: deque = deque()
        for rows, draws in _with_crops(view, batches, epochs):
            pending.append(pool.submit(view.render_many, rows, epochs, draws))
            if len(pending) > workers + 1:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _with_crops(
    view: BatchSource, batches: Sequence[np.ndarray], epochs: Sequence[int]
) -> Iterator[tuple[np.ndarray, list[Crops]]]:
    """Batches of rows with their crops per epoch. Draws for `DRAW_AT_ONCE` batches at a time."""
    for start in range(0, len(batches), DRAW_AT_ONCE):
        group = batches[start : start + DRAW_AT_ONCE]
        draws = [view.crops(np.concatenate(group), epoch) for epoch in epochs]
        ends = np.cumsum([len(rows) for rows in group])
        for rows, end in zip(group, ends, strict=True):
            span = slice(int(end) - len(rows), int(end))
            yield rows, [crops.subset(span) for crops in draws]
