"""A few crops with every network's labels, for people to look at.

The first are a random sample. Those that follow, and the validation images, are what the
generations of a chain changed their minds about most (`top_changes`), for Figures 7 and 8 of Label
Refinery (arXiv 1805.02641).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from tinyrefinery.data.batches import View, shuffled
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.evaluation.predictions import Predictions
from tinyrefinery.files import atomic_file
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.runs.top_changes import most_changed

CANVAS = 128  # longest side at which a source image is shown, in pixels
MATES = 256  # crops labelled together, so that batch statistics are those of a real batch

CHOSEN = 3  # crops, and validation images, that changed most


@dataclass(frozen=True)
class Line:
    """Generations that refined one another."""

    keys: tuple[str, ...]
    """Their stage keys."""
    titles: tuple[str, ...]
    """The titles under which they label."""
    validation: tuple[Predictions, ...]
    """What each says of the validation split."""


def save_samples(
    path: Path,
    view: View,
    rows: np.ndarray,
    refiners: Mapping[str, Refiner],
    line: Line | None = None,
    count: int = 12,
) -> None:
    """Write `count` crops of a view with their labels as an .npz file.

    Args:
        path: the file; see `reports.samples.read_samples` for its arrays.
        view: the training crops to show, of its epoch 0.
        rows: the training samples.
        refiners: who labels them, by the title to show.
        line: two or more generations; what they changed their minds about most is kept too.
        count: how many crops.
    """
    mates = shuffled(rows, view.seed, 0)[:MATES]
    batch = view.render(mates, 0)
    labels = {title: refiner(batch.images).cpu().numpy() for title, refiner in refiners.items()}
    places = np.arange(min(count, len(mates)))
    arrays: dict[str, np.ndarray] = {}
    if line is not None and len(line.keys) > 1:
        changed = np.stack([labels[title] for title in line.titles])
        chosen = most_changed(changed, mates, CHOSEN)
        places = np.concatenate([places, np.setdiff1d(chosen, places)])
        arrays = _line_arrays(line, view.dataset, list(labels), len(mates))
    arrays |= _crop_arrays(view, mates[places])
    for number, (title, found) in enumerate(labels.items()):
        arrays[f"labels_{number}"] = found[places]
        arrays[f"title_{number}"] = np.array(title)
    with atomic_file(path) as aside, aside.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _crop_arrays(view: View, shown: np.ndarray) -> dict[str, np.ndarray]:
    crops = view.crops(shown, 0)
    sizes = view.dataset.images.sizes[shown].astype(float)
    canvas, scale = _canvas(view.dataset, shown)
    pixels = view.pixels(shown, crops).round().clamp(0, 255).to(torch.uint8)
    arrays = {
        "source": canvas,
        "crop": pixels.permute(0, 2, 3, 1).cpu().numpy(),
        "boxes": crops.source_boxes(sizes) * scale[:, None],
        "row": shown,
        "label": view.dataset.manifest.labels[shown],
        "classes": np.array(view.dataset.classes),
    }
    truth = view.truth(shown, 0)
    return arrays if truth is None else arrays | {"truth": truth}


def _line_arrays(
    line: Line, data: Dataset, titles: Sequence[str], candidates: int
) -> dict[str, np.ndarray]:
    """Who the generations are, among how many crops was chosen, and validation images."""
    said = np.stack([each.probabilities for each in line.validation])
    rows = line.validation[0].rows
    rows = rows[most_changed(said, rows, CHOSEN)]
    return {
        "line_keys": np.array(line.keys),
        "line_labels": np.array([titles.index(title) for title in line.titles]),
        "candidates": np.array(candidates),
        "validation_row": rows,
        "validation_source": _canvas(data, rows)[0],
    }


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
