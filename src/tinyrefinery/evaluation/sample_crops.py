"""A few crops with every network's labels, for people to look at."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from tinyrefinery.data.batches import View, shuffled
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.files import writing
from tinyrefinery.labels.refiner import Refiner

CANVAS = 128  # longest side at which a source image is shown, in pixels
MATES = 256  # crops labelled together, so that batch statistics are those of a real batch


def save_samples(
    path: Path, view: View, rows: np.ndarray, refiners: Mapping[str, Refiner], count: int = 12
) -> None:
    """Write `count` crops of a view with their labels as an .npz file.

    Args:
        path: the file; see `reports.samples.read_samples` for its arrays.
        view: the training crops to show, of its epoch 0.
        rows: the training samples.
        refiners: who labels them, by the title to show.
        count: how many crops.
    """
    mates = shuffled(rows, view.seed, 0)[:MATES]
    batch, shown = view.render(mates, 0), mates[:count]
    crops = view.crops(shown, 0)
    sizes = view.dataset.images.sizes[shown].astype(float)
    canvas, scale = _canvas(view.dataset, shown)
    pixels = view.pixels(shown, crops).round().clamp(0, 255).to(torch.uint8)
    arrays = {
        "source": canvas,
        "crop": pixels.permute(0, 2, 3, 1).cpu().numpy(),
        "boxes": crops.source_boxes(sizes) * scale[:, None],
        "label": view.dataset.manifest.labels[shown],
        "classes": np.array(view.dataset.classes),
    }
    truth = view.truth(shown, 0)
    if truth is not None:
        arrays["truth"] = truth
    for number, (title, refiner) in enumerate(refiners.items()):
        arrays[f"labels_{number}"] = refiner(batch.images)[:count].cpu().numpy()
        arrays[f"title_{number}"] = np.array(title)
    with writing(path) as aside, aside.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _canvas(dataset: Dataset, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Source images on canvases of one size, (n, H, W, C) uint8, and the scale of each."""
    images = [torch.from_numpy(dataset.images.pixels(int(row)).copy()) for row in rows]
    scale = np.array([min(1.0, CANVAS / max(image.shape[:2])) for image in images])
    shown = []
    for image, factor in zip(images, scale, strict=True):
        chw = image.permute(2, 0, 1)[None]
        if factor < 1:
            size = [max(1, round(side * factor)) for side in image.shape[:2]]
            chw = F.interpolate(chw, size, mode="bilinear", antialias=True)
        shown.append(chw[0])
    height, width = (max(image.shape[i] for image in shown) for i in (1, 2))
    padded = [F.pad(i, (0, width - i.shape[2], 0, height - i.shape[1])) for i in shown]
    return torch.stack(padded).permute(0, 2, 3, 1).numpy(), scale
