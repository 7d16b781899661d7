"""Crops a core-second of 12-megapixel photographs, beside the same ones at 500x375 pixels.

From the second epoch on: the first one shrinks them (`data/shrunk.py`). The third way decodes whole
photographs, as all did before.
"""

import os
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from timing import Way, compared, quick, report, seconds_an_item

from tinyrefinery.data.batches import View, load, split_batches
from tinyrefinery.data.open import open_data
from tinyrefinery.options.crops import Augment, Inception
from tinyrefinery.training.memory import keep_freed_memory

PHOTOS, SIZES, BATCH = 24, {"12 megapixels": (4032, 3024), "500x375": (500, 375)}, 8
CROP = Inception(size=(96, 96))  # from 8 % of the area on


def write_photos(root: Path, size: tuple[int, int]) -> None:
    """Two photographs, scaled to a size and mirrored or not, in two class folders."""
    photos = load_sample_images().images
    for number in range(PHOTOS):
        image = Image.fromarray(photos[number % 2][:, :: (-1) ** (number // 2)])
        folder = root / f"photo {number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        resized = image.resize(size, Image.Resampling.BICUBIC)
        resized.save(folder / f"{number:02}.jpg", quality=92)


def epochs(root: Path, *, whole: bool) -> Way:
    """An epoch of crops, of other boxes each time."""
    keep_freed_memory()
    data = open_data("folder", root=root, resident="never", validation=0.0)
    view = View(data, CROP, augment=Augment(flip=0.5))
    if whole:
        view.__dict__["images"] = data.images  # in place of the shrunken ones
    number = iter(range(1 << 30))

    def way() -> int:
        batches = split_batches(np.arange(PHOTOS), BATCH, drop_last=True)
        return sum(len(batch.rows) for batch in load(view, batches, next(number)))

    return way


def main() -> None:
    """Measure, print, keep."""
    short = quick()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TINYREFINERY_CACHE"] = f"{folder}/cache"
        ways = {}
        for name, size in reversed(SIZES.items()):
            root = Path(folder) / name
            write_photos(root, size)
            ways[f"{name} to 96x96"] = partial(epochs, root, whole=False)
        root = Path(folder) / "12 megapixels"
        ways["12 megapixels to 96x96, decoded whole"] = partial(epochs, root, whole=True)
        taken = seconds_an_item(ways, 2 if short else 5)
    figures = compared(taken, "img/core-s", next(iter(taken)))
    report("Large photographs (more is better)", figures, keep=not short)


if __name__ == "__main__":
    main()
