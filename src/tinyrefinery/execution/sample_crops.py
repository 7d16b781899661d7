"""A few crops with every network's labels, for the report.

The first are a random sample. Those that follow, and the validation images, are those on which the
predictions of a chain's generations changed most (`top_changes`), for Figures 7 and 8 of Label
Refinery (arXiv 1805.02641).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from tinyrefinery import builders
from tinyrefinery.data.batches import View, shuffled
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.images import Images
from tinyrefinery.evaluation.predictions import Predictions
from tinyrefinery.execution.opened import OpenJob
from tinyrefinery.files import atomic_file
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.runs import files
from tinyrefinery.runs.lineage import longest_line
from tinyrefinery.runs.stage_digests import check_file
from tinyrefinery.runs.top_changes import most_changed

CANVAS = 128  # longest side at which a source image is shown, in pixels
GROUP = 256  # crops labeled together, so that batch statistics are those of a real batch

CHOSEN = 3  # crops, and validation images, that changed most


@dataclass(frozen=True)
class Line:
    """Generations that refined one another."""

    keys: tuple[str, ...]
    """Their stage keys."""
    titles: tuple[str, ...]
    """The titles under which they label."""
    validation: tuple[Predictions, ...]
    """Their predictions on the validation split."""


def save_samples(path: Path, job: OpenJob, count: int = 12) -> None:
    """Write crops with the labels of every finished network of a job as an .npz file.

    Args:
        path: the file; see `reports.samples.read_samples` for its arrays.
        job: with at least one network in its chain. The crops are those of generation 2, epoch 0.
        count: how many crops, besides those that changed most.
    """
    view = builders.train_view(job.recipe, job.data, 2, torch.device("cpu"), mixed=False)
    group = shuffled(job.train_rows, view.seed, 0)[:GROUP]
    images = view.render(group, 0).images
    labels: dict[str, np.ndarray] = {}
    for generation in job.chain.generations:
        refiner = Refiner([generation.network])
        labels[_title(job, generation.id)] = refiner(images).cpu().numpy()
    places = np.arange(min(count, len(group)))
    arrays: dict[str, np.ndarray] = {}
    if (line := _longest_line(job)) is not None:
        changed = np.stack([labels[title] for title in line.titles])
        chosen = most_changed(changed, group, CHOSEN)
        places = np.concatenate([places, np.setdiff1d(chosen, places)])
        arrays = _line_arrays(line, view.dataset, list(labels), len(group))
    arrays |= _crop_arrays(view, group[places])
    for number, (title, distributions) in enumerate(labels.items()):
        arrays[f"labels_{number}"] = distributions[places]
        arrays[f"title_{number}"] = np.array(title)
    with atomic_file(path) as aside, aside.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _title(job: OpenJob, stage: str) -> str:
    return f"{stage} ({job.stages[stage].model.name})"


def _longest_line(job: OpenJob) -> Line | None:
    """The longest line of generations that refined one another; None without two."""
    ids = longest_line({one.id: one.refined_by for one in job.chain.generations})
    if len(ids) < 2:
        return None
    steps = [job.planned[id] for id in ids]
    validation = [check_file(s.folder / files.predictions("validation")) for s in steps]
    return Line(
        keys=tuple(step.key for step in steps),
        titles=tuple(_title(job, id) for id in ids),
        validation=tuple(map(Predictions.load, validation)),
    )


def _crop_arrays(view: View, shown: np.ndarray) -> dict[str, np.ndarray]:
    crops = view.crops(shown, 0)
    sizes = view.images.sizes[shown].astype(float)
    canvas, scale = _canvas(view.images, shown)
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
    """The generations, among how many crops was chosen, and validation images."""
    predicted = np.stack([predictions.probabilities for predictions in line.validation])
    rows = line.validation[0].rows
    rows = rows[most_changed(predicted, rows, CHOSEN)]
    return {
        "line_keys": np.array(line.keys),
        "line_labels": np.array([titles.index(title) for title in line.titles]),
        "candidates": np.array(candidates),
        "validation_row": rows,
        "validation_source": _canvas(data.images, rows)[0],
    }


def _canvas(images: Images, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Source images on canvases of one size, (n, H, W, C) uint8, and the scale of each."""
    sources = [torch.from_numpy(images.pixels(int(row)).copy()) for row in rows]
    scale = np.array([min(1.0, CANVAS / max(image.shape[:2])) for image in sources])
    shown = []
    for image, factor in zip(sources, scale, strict=True):
        chw = image.permute(2, 0, 1)[None]
        if factor < 1:
            size = [max(1, round(side * factor)) for side in image.shape[:2]]
            chw = F.interpolate(chw, size, mode="bilinear", antialias=True)
        shown.append(chw[0])
    height, width = (max(image.shape[i] for image in shown) for i in (1, 2))
    padded = [F.pad(i, (0, width - i.shape[2], 0, height - i.shape[1])) for i in shown]
    return torch.stack(padded).permute(0, 2, 3, 1).numpy(), scale
