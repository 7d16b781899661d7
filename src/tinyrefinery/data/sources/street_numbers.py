"""The built-in data set: house numbers from real handwritten digits, rendered without a download.

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
from tinyrefinery.data.sources.street_faults import Faults, darken, limit_class, with_copies
from tinyrefinery.data.sources.street_glyphs import load_glyphs
from tinyrefinery.data.sources.street_layout import Layout, SceneOptions, lay_out
from tinyrefinery.data.sources.street_scenes import compose
from tinyrefinery.data.sources.street_truth import StreetTruth
from tinyrefinery.errors import DataError
from tinyrefinery.random import uniform

_MIN_HEIGHT = 6.0  # pixels; smaller digits are unreadable


def open_street_numbers(
    *,
    train: int = 6000,
    validation: int = 1000,
    test: int = 2000,
    digits: int = 2,
    height: int = 32,
    width: int = 48,
    channels: int = 1,
    size: tuple[float, float] = (0.6, 0.9),
    contrast: tuple[float, float] = (0.5, 1.0),
    clutter: int = 2,
    noise: float = 0.08,
    wrong_labels: float = 0.0,
    dark_class: float = 0.0,
    copies: float = 0.0,
    rare_class: int | None = None,
    exclude: str | None = None,
    seed: int = 0,
) -> Dataset:
    """Render the scenes, with their manifest and true crop labels.

    Besides the required columns the manifest has `digit_height` (mean, pixels), `contrast`,
    `polarity` (dark or light digits), `noise`, `y` and `x` (center of the number, pixels), `glyphs`
    (their numbers in the source) and, with wrong labels, `true_label`.

    Args:
        train: scenes of the training split, at least 1.
        validation: scenes of the validation split, 0 or more.
        test: scenes of the test split, 0 or more.
        digits: digits per house number, 1 to 3; two digits give the classes "00" to "99".
        height: of the image in pixels, at least 8.
        width: of the image in pixels, at least 8.
        channels: 1 (gray) or 3 (color).
        size: minimum and maximum height of a digit as a share of the image height, in (0, 1];
            numbers that are too wide for the image are shrunk.
        contrast: minimum and maximum difference between digits and background, in (0, 1].
        clutter: maximum number of strokes besides the digits, 0 to 20.
        noise: maximum standard deviation of the pixel noise as a share of full range, 0 to 1.
        wrong_labels: share of training labels replaced by another class, 0 to 1; true crop labels
            don't change.
        dark_class: share of the first class's training and validation scenes that are dark, and of
            the test scenes of all classes, 0 to 1.
        copies: share of the test scenes that replace training scenes, half of them slightly
            changed, 0 to 1.
        rare_class: number of training scenes of the last class; None: all.
        exclude: file that lists scenes to leave out, one path or id per line, from an audit.
        seed: a scene depends on this seed, its split and its number only.

    Raises:
        DataError: if an option is out of range, or digits are too small to be readable.
    """
    ranges = (size[0], size[1]), (contrast[0], contrast[1])
    options = SceneOptions(digits, height, width, channels, *ranges, clutter, noise)
    counts: dict[str, int] = {"train": train, "validation": validation, "test": test}
    faults = Faults(wrong_labels, dark_class, copies, rare_class)
    _check(options, counts, faults)
    dataset = _render(options, counts, faults, seed)
    return dataset if exclude is None else _without(dataset, exclude)


def _without(dataset: Dataset, exclude: str) -> Dataset:
    """Leave out the scenes that a file lists."""
    ids, paths = (dataset.manifest.column(name).tolist() for name in ("id", "path"))
    left_out = exclusion_mask(Path(exclude), paths, ids)
    kept = dataset.select(np.flatnonzero(~left_out))
    if not len(kept.manifest.rows("train")):
        raise DataError(f"{exclude}: leaves no training scene")
    note = Problem("excluded", exclude, f"{left_out.sum()} images left out")
    return replace(kept, problems=(*kept.problems, note))


def _render(options: SceneOptions, counts: dict[str, int], faults: Faults, seed: int) -> Dataset:
    """Render all scenes of all splits."""
    glyphs = load_glyphs()
    layouts, pixels = {}, {}
    dark = np.zeros(0, bool)
    for split, count in counts.items():
        rows = np.arange(count)
        layout = lay_out(options, seed, split, rows, glyphs)
        scenes = compose(options, seed, split, rows, layout, glyphs)
        if faults.dark_class > 0:
            layout, scenes, dark = darken(layout, scenes, split, faults.dark_class, seed)
        layouts[split], pixels[split] = layout, scenes
    if faults.copies > 0:  # copies of scenes that aren't dark; `dark` is of the last split, test
        free = np.flatnonzero(~dark) if len(dark) else np.arange(counts["test"])
        layouts, pixels = with_copies(layouts, pixels, free, faults.copies, seed)
    table = pa.concat_tables(_table(split, layouts[split], pixels[split]) for split in counts)
    digits = options.digits
    if faults.wrong_labels > 0:
        table = _mislabel(table, counts["train"], 10**digits, faults.wrong_labels, seed)
    dataset = Dataset(
        name="street-numbers",
        manifest=Manifest(table, tuple(f"{number:0{digits}d}" for number in range(10**digits))),
        images=ResidentImages(torch.from_numpy(np.concatenate(list(pixels.values())))),
        truth=StreetTruth(list(layouts.values()), glyphs),
    )
    if faults.rare_class is None:
        return dataset
    manifest = dataset.manifest
    last, splits = len(dataset.classes) - 1, manifest.column("split")
    return dataset.select(limit_class(manifest.labels, splits, last, faults.rare_class))


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


def _check(options: SceneOptions, counts: dict[str, int], faults: Faults) -> None:
    """Raise an error for options out of range, with the value and the range."""
    low, high = options.size
    faint, strong = options.contrast
    room = min(low * options.height, 0.8 * options.width / max(options.digits, 1))
    rules = {  # message -> whether it is satisfied
        f"train={counts['train']}: at least 1": counts["train"] >= 1,
        f"validation={counts['validation']}: 0 or more": counts["validation"] >= 0,
        f"test={counts['test']}: 0 or more": counts["test"] >= 0,
        f"digits={options.digits}: 1, 2 or 3": options.digits in (1, 2, 3),
        f"height={options.height}: at least 8 pixels": options.height >= 8,
        f"width={options.width}: at least 8 pixels": options.width >= 8,
        f"channels={options.channels}: 1 or 3": options.channels in (1, 3),
        f"size={options.size}: two shares, 0 < low <= high <= 1": 0 < low <= high <= 1,
        f"contrast={options.contrast}: two shares, 0 < low <= high <= 1": 0 < faint <= strong <= 1,
        f"clutter={options.clutter}: 0 to 20 strokes": 0 <= options.clutter <= 20,
        f"noise={options.noise}: 0 to 1": 0 <= options.noise <= 1,
        f"wrong_labels={faults.wrong_labels}: a share, 0 to 1": 0 <= faults.wrong_labels <= 1,
        f"dark_class={faults.dark_class}: a share, 0 to 1": 0 <= faults.dark_class <= 1,
        f"copies={faults.copies}: a share, 0 to 1": 0 <= faults.copies <= 1,
        f"rare_class={faults.rare_class}: 1 or more": faults.rare_class is None
        or faults.rare_class >= 1,
        f"digits about {room:.1f} pixels high in {options.height}x{options.width} pixels are too "
        f"small, at least {_MIN_HEIGHT:.0f} are needed: set a larger height, width or size, or "
        "fewer digits": room >= _MIN_HEIGHT,
    }
    for rule, is_satisfied in rules.items():
        if not is_satisfied:
            raise DataError(f"street numbers: {rule}")
