"""Crops a core-second: ours against torchvision on PIL images in DataLoader workers."""

import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from timing import Way, compared, quick, report, seconds_an_item
from torch.utils.data import DataLoader, RandomSampler
from torchvision import transforms as tv
from torchvision.datasets import ImageFolder

from tinyrefinery.data.batches import IMAGENET_MEAN, IMAGENET_STD, View, load_many, split_batches
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.images import ResidentImages
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.data.open import open_data
from tinyrefinery.options.crops import Augment, Inception, Pad
from tinyrefinery.training.memory import keep_freed_memory

SMALL_IMAGES = 50_000  # as many as CIFAR-10 has: they don't fit into a cache
SMALL_BATCH, PHOTO_BATCH, WORKERS, CLASSES = 128, 32, 2, 10
CROPS = 4  # of each decoded photograph, as FKD takes them (arXiv 2112.01528)
PHOTOS, PHOTO_SIZE, PHOTO_QUALITY = 64, (375, 500), 92
FINISH = [tv.RandomHorizontalFlip(), tv.ToTensor(), tv.Normalize(IMAGENET_MEAN, IMAGENET_STD)]


class PillowImages(torch.utils.data.Dataset):
    """Arrays in memory handed out as PIL images, as torchvision's CIFAR10 does."""

    def __init__(
        self, pixels: np.ndarray, transform: Callable[[Image.Image], torch.Tensor]
    ) -> None:
        self.pixels, self.transform = pixels, transform  # uint8 (N, H, W, C)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[row])), row % CLASSES


def small_pixels(n: int) -> np.ndarray:
    """Noise, uint8 (N, 32, 32, 3): no step that is measured depends on what pixels show."""
    return np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)


def resident(pixels: np.ndarray) -> Dataset:
    """The same pixels as one of our data sets."""
    n = len(pixels)
    columns = {
        "id": [f"{row:064x}" for row in range(n)],
        "path": [f"noise/{row}" for row in range(n)],
        "label": pa.array(np.arange(n) % CLASSES, pa.int64()),
        "split": ["train"] * n,
    }
    manifest = Manifest(pa.table(columns), tuple(f"class {c}" for c in range(CLASSES)))
    array = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    return Dataset("noise", manifest, ResidentImages(array))


def obvious(data: Any, batch: int, items: int, workers: int, *, repeat: bool = False) -> Way:
    """An epoch of a DataLoader. Its workers live on, so that starting them is not counted."""
    loader = DataLoader(
        data,
        batch,
        sampler=RandomSampler(data, replacement=repeat, num_samples=items),
        num_workers=workers,
        persistent_workers=workers > 0,
        drop_last=True,
    )
    return lambda: sum(len(images) for images, _ in loader)


def ours(view: View, batch: int, items: int, workers: int, crops: int = 1) -> Way:
    """Crops of as many images in new epochs each time; of few images some twice.

    With one crop an image as training makes them, with several as `load_many` does.
    """
    keep_freed_memory()  # as `fit` does
    first = iter(range(0, 1 << 30, crops))

    def way() -> int:
        now = next(first)
        n, epochs = len(view.dataset.manifest), range(now, now + crops)
        rows = np.random.default_rng(now).permutation(max(n, items))[:items] % n
        batches = split_batches(rows, batch, drop_last=True)
        found = load_many(view, batches, epochs, workers=workers)
        return sum(len(each.rows) for together in found for each in together)

    return way


def small(rounds: int, share: float) -> dict[str, list[float]]:
    """Core-seconds an image of 32x32 pixels that lie in memory."""
    pixels = small_pixels(int(SMALL_IMAGES * share))
    data, few, many = resident(pixels), len(pixels) // 4, len(pixels)
    kinds = {
        "inception crops 32x32": (tv.RandomResizedCrop(32), Inception(size=(32, 32))),
        "padded crops 32x32": (tv.RandomCrop(32, padding=4), Pad(size=(32, 32))),
    }
    ways: dict[str, Callable[[], Way]] = {}
    for name, (crop, part) in kinds.items():
        images = PillowImages(pixels, tv.Compose([crop, *FINISH]))
        view = View(data, part, augment=Augment(flip=0.5))
        for workers, words in ((WORKERS, f"{WORKERS} DataLoader workers"), (0, "no worker")):
            ways[f"{name}: PIL, {words}"] = partial(obvious, images, SMALL_BATCH, few, workers)
        for workers, words in ((0, "no worker"), (WORKERS, f"{WORKERS} threads")):
            ways[f"{name}: ours, {words}"] = partial(ours, view, SMALL_BATCH, many, workers)
    return seconds_an_item(ways, rounds)


def write_photos(root: Path) -> None:
    """Cut JPEG files from two photographs, mirrored or not, into two class folders."""
    rng = np.random.default_rng(0)
    height, width = PHOTO_SIZE
    for number in range(PHOTOS):
        photos: Sequence[np.ndarray] = load_sample_images().images  # (427, 640, 3)
        whole = photos[number % len(photos)]
        top = rng.integers(whole.shape[0] - height + 1)
        left = rng.integers(whole.shape[1] - width + 1)
        cut = whole[top : top + height, left : left + width][:, :: rng.choice([-1, 1])]
        folder = root / f"photo {number % len(photos)}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(cut).save(folder / f"{number:02}.jpg", quality=PHOTO_QUALITY)


def photos(rounds: int, share: float, root: Path) -> dict[str, list[float]]:
    """Core-seconds a JPEG of 500x375 pixels that becomes a crop of 224x224."""
    write_photos(root)
    transform = tv.Compose([tv.RandomResizedCrop(224), *FINISH])
    data = open_data("folder", root=root, resident="never", validation=0.0)
    view = View(data, Inception(size=(224, 224)), augment=Augment(flip=0.5))
    items, name = int(320 * share), "JPEG to 224x224"
    folder = ImageFolder(str(root), transform)
    ways = {
        f"{name}: PIL, {WORKERS} DataLoader workers": partial(
            obvious, folder, PHOTO_BATCH, items, WORKERS, repeat=True
        ),
        f"{name}: ours, {WORKERS} threads": partial(ours, view, PHOTO_BATCH, items, WORKERS),
        f"{name}: ours, {WORKERS} threads, {CROPS} crops a decode": partial(
            ours, view, PHOTO_BATCH, items, WORKERS, CROPS
        ),
    }
    return seconds_an_item(ways, rounds)


def main() -> None:
    """Measure, print, keep."""
    short = quick()
    torch.set_num_threads(1)
    rounds, share = (2, 0.1) if short else (7, 1.0)
    taken = small(rounds, share)
    figures = []
    for kind in ("inception", "padded"):
        names = [name for name in taken if name.startswith(kind)]
        figures += compared(taken, "img/core-s", names[0], names)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TINYREFINERY_CACHE"] = f"{folder}/cache"
        taken = photos(rounds, 0.4 if short else 1.0, Path(folder) / "photos")
    figures += compared(taken, "img/core-s", next(iter(taken)))
    report("Data path (more is better)", figures, keep=not short)


if __name__ == "__main__":
    main()
