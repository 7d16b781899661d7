"""The built-in dataset: house numbers from real handwritten digits, rendered without a download.

House numbers such as 38 and 39 share half of their ink, like similar real classes, and an
aggressive crop often shows one digit only. The scene is known, so the true label distribution of
each crop is known too. This makes the quality of crop labels measurable, which the Label Refinery
paper could not do.
"""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from tinyrefinery.data.dataset import Dataset, Problem
from tinyrefinery.data.images import ResidentImages
from tinyrefinery.data.listing import exclusion_mask
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.data.sources.street_faults import darken, limit_class, with_copies
from tinyrefinery.data.sources.street_glyphs import load_glyphs
from tinyrefinery.data.sources.street_layout import Layout, lay_out
from tinyrefinery.data.sources.street_scenes import compose
from tinyrefinery.data.sources.street_truth import StreetTruth
from tinyrefinery.errors import DataError
from tinyrefinery.options.sources import StreetNumbers
from tinyrefinery.random import uniform

_MIN_HEIGHT = 6.0  # pixels; smaller digits are unreadable


def open_street_numbers(part: StreetNumbers) -> Dataset:
    """Render the scenes, with their manifest and true crop labels.

    Besides the required columns the manifest has `digit_height` (mean, pixels), `contrast`,
    `polarity` (dark or light digits), `noise`, `y` and `x` (center of the number, pixels), `glyphs`
    (their numbers in the source) and, with wrong labels, `true_label`.

    Raises:
        DataError: if the digits are too small to be readable.
    """
    room = min(part.size[0] * part.height, 0.8 * part.width / part.digits)
    if room < _MIN_HEIGHT:
        raise DataError(
            f"street numbers: digits about {room:.1f} pixels high in {part.height}x{part.width} "
            f"pixels are too small, at least {_MIN_HEIGHT:.0f} are needed: set a larger height, "
            "width or size, or fewer digits"
        )
    dataset = _render(part)
    return dataset if part.exclude is None else _without(dataset, part.exclude)


def _without(dataset: Dataset, exclude: str) -> Dataset:
    """Leave out the scenes that a file lists."""
    ids, paths = (dataset.manifest.column(name).tolist() for name in ("id", "path"))
    left_out = exclusion_mask(Path(exclude), paths, ids)
    kept = dataset.select(np.flatnonzero(~left_out))
    if not len(kept.manifest.rows("train")):
        raise DataError(f"{exclude}: leaves no training scene")
    note = Problem("excluded", exclude, f"{left_out.sum()} images left out")
    return replace(kept, problems=(*kept.problems, note))


def _render(part: StreetNumbers) -> Dataset:
    """Render all scenes of all splits."""
    seed, digits = part.seed, part.digits
    counts = {"train": part.train, "validation": part.validation, "test": part.test}
    glyphs = load_glyphs()
    layouts, pixels = {}, {}
    dark = np.zeros(0, bool)
    for split, count in counts.items():
        rows = np.arange(count)
        layout = lay_out(part, seed, split, rows, glyphs)
        scenes = compose(part, seed, split, rows, layout, glyphs)
        if part.dark_class > 0:
            layout, scenes, dark = darken(layout, scenes, split, part.dark_class, seed)
        layouts[split], pixels[split] = layout, scenes
    if part.copies > 0:  # copies of scenes that aren't dark; `dark` is of the last split, test
        free = np.flatnonzero(~dark) if len(dark) else np.arange(counts["test"])
        layouts, pixels = with_copies(layouts, pixels, free, part.copies, seed)
    table = pa.concat_tables(_table(split, layouts[split], pixels[split]) for split in counts)
    if part.wrong_labels > 0:
        table = _mislabel(table, counts["train"], 10**digits, part.wrong_labels, seed)
    dataset = Dataset(
        name="street-numbers",
        manifest=Manifest(table, tuple(f"{number:0{digits}d}" for number in range(10**digits))),
        images=ResidentImages(torch.from_numpy(np.concatenate(list(pixels.values())))),
        truth=StreetTruth(list(layouts.values()), glyphs),
    )
    if part.rare_class is None:
        return dataset
    manifest = dataset.manifest
    last, splits = len(dataset.classes) - 1, manifest.column("split")
    return dataset.select(limit_class(manifest.labels, splits, last, part.rare_class))


def _table(split: str, layout: Layout, scenes: np.ndarray) -> pa.Table:
    """The manifest rows of one split."""
    places = layout.places
    middle = (places[..., :2].min(1) + (places[..., :2] + places[..., 2:]).max(1)) / 2
    dark = layout.ink.mean(1) < layout.paper.mean(1)
    columns = {
        "id": [sha256(scene.tobytes()).hexdigest() for scene in scenes],
        "path": [f"street-numbers/{split}/{row:06d}" for row in range(len(scenes))],
        "label": layout.labels,
        "split": [split] * len(scenes),
        "digit_height": places[..., 2].mean(1),
        "contrast": layout.contrast,
        "polarity": np.where(dark, "dark", "light").tolist(),
        "noise": layout.noise,
        "y": middle[:, 0],
        "x": middle[:, 1],
        "glyphs": layout.glyphs.tolist(),
    }
    kinds = {"id": pa.string(), "path": pa.string(), "split": pa.string(), "polarity": pa.string()}
    kinds["glyphs"] = pa.list_(pa.int64())
    return pa.table({name: pa.array(values, kinds.get(name)) for name, values in columns.items()})


def _mislabel(table: pa.Table, train: int, classes: int, share: float, seed: int) -> pa.Table:
    """Replace the labels of a share of the training rows, which come first, by wrong classes."""
    true = table.column("label").to_numpy()
    draws = uniform(seed, "street wrong labels", 0, np.arange(train), 2)
    shift = 1 + (draws[:, 1] * (classes - 1)).astype(np.int64)
    labels = true.copy()
    labels[:train] += np.where(draws[:, 0] < share, shift, 0)
    index = table.column_names.index("label")
    return table.set_column(index, "label", pa.array(labels % classes)).append_column(
        "true_label", pa.array(true)
    )
