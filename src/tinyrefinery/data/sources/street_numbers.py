"""The embedded data set: house numbers of real handwritten digits, made in memory, no download.

House numbers such as 38 and 39 share half their ink, as real classes overlap, and an aggressive
crop often shows one digit only. Since the scene is known, so is the true label distribution of
every crop: the quality of crop labels, for which the label refinery's paper could only argue, can
be measured here.
"""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from tinyrefinery.data.dataset import Dataset, Problem
from tinyrefinery.data.images import ResidentImages
from tinyrefinery.data.listing import excluded
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.data.sources.street_faults import Faults, darkened, kept_of_rare, with_copies
from tinyrefinery.data.sources.street_glyphs import load_glyphs
from tinyrefinery.data.sources.street_layout import Layout, SceneOptions, lay_out
from tinyrefinery.data.sources.street_scenes import compose
from tinyrefinery.data.sources.street_truth import StreetTruth
from tinyrefinery.errors import DataError
from tinyrefinery.random import uniform

_SMALLEST = 6.0  # px: a lower digit can't be read by anybody


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
    """Make the scenes, their manifest and their crop truth.

    The manifest tells of every scene, beside the required columns: `digit_height` (px, mean),
    `contrast`, `polarity` (dark or light digits), `noise`, `y` and `x` (center of the number, px),
    `glyphs` (numbers of its glyphs in the source) and, with wrong labels, `true_label`.

    Args:
        train: scenes of the training split, at least 1.
        validation: scenes of the validation split, 0 or more.
        test: scenes of the test split, 0 or more.
        digits: digits of a house number, 1 to 3; the classes are "00" to "99" for two.
        height: of the image in pixels, at least 8.
        width: of the image in pixels, at least 8.
        channels: 1 (grey) or 3 (color).
        size: smallest and largest height of a digit as a share of the image's, in (0, 1]; a number
            that is too wide for the image is drawn smaller.
        contrast: smallest and largest difference between digits and ground, in (0, 1].
        clutter: most strokes a scene may have that are no digits, 0 to 20.
        noise: largest standard deviation of the pixel noise as a share of full range, 0 to 1.
        wrong_labels: share of training labels replaced by another class, 0 to 1; crop truth keeps
            to the true digits.
        dark_class: share of the first class's training and validation scenes that are dark, where
            no scene of another class is; and of all test scenes, whatever they show. 0 to 1.
        copies: share of the test scenes that stand in training too, every second one slightly
            changed, in place of other training scenes, 0 to 1.
        rare_class: training scenes that the last class keeps; None: all.
        exclude: a file of scenes to leave out, a path or id a line, as audits write.
        seed: a scene is a function of this seed, its split and its number alone.

    Raises:
        DataError: when an option is out of its range, or digits come out too low to be read.
    """
    ranges = (size[0], size[1]), (contrast[0], contrast[1])
    options = SceneOptions(digits, height, width, channels, *ranges, clutter, noise)
    counts: dict[str, int] = {"train": train, "validation": validation, "test": test}
    faults = Faults(wrong_labels, dark_class, copies, rare_class)
    _check(options, counts, faults)
    dataset = _made(options, counts, faults, seed)
    return dataset if exclude is None else _without(dataset, exclude)


def _without(dataset: Dataset, exclude: str) -> Dataset:
    """The scenes that a file doesn't name."""
    ids, paths = (dataset.manifest.column(name).tolist() for name in ("id", "path"))
    left_out = excluded(Path(exclude), paths, ids)
    kept = dataset.select(np.flatnonzero(~left_out))
    if not len(kept.manifest.rows("train")):
        raise DataError(f"{exclude}: leaves no training scene")
    told = Problem("excluded", exclude, f"{left_out.sum()} images left out")
    return replace(kept, problems=(*kept.problems, told))


def _made(options: SceneOptions, counts: dict[str, int], faults: Faults, seed: int) -> Dataset:
    """All scenes of all splits."""
    glyphs = load_glyphs()
    layouts, pixels = {}, {}
    dark = np.zeros(0, bool)
    for split, count in counts.items():
        rows = np.arange(count)
        layout = lay_out(options, seed, split, rows, glyphs)
        scenes = compose(options, seed, split, rows, layout, glyphs)
        if faults.dark_class > 0:
            layout, scenes, dark = darkened(layout, scenes, split, faults.dark_class, seed)
        layouts[split], pixels[split] = layout, scenes
    if faults.copies > 0:  # of scenes in plain light, the last split's being the test's
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
    return dataset.select(kept_of_rare(manifest.labels, splits, last, faults.rare_class))


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
    """Give a share of the training rows, which come first, another class than the true one."""
    true = table.column("label").to_numpy()
    draws = uniform(seed, "street wrong labels", 0, np.arange(train), 2)
    other = 1 + (draws[:, 1] * (classes - 1)).astype(np.int64)
    given = true.copy()
    given[:train] += np.where(draws[:, 0] < share, other, 0)
    place = table.column_names.index("label")
    return table.set_column(place, "label", pa.array(given % classes)).append_column(
        "true_label", pa.array(true)
    )


def _check(options: SceneOptions, counts: dict[str, int], faults: Faults) -> None:
    """Refuse options out of range, naming the option, its value and what would be right."""
    low, high = options.size
    faint, strong = options.contrast
    room = min(low * options.height, 0.8 * options.width / max(options.digits, 1))
    rules = {
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
        f"digits about {room:.1f} px high in {options.height}x{options.width} pixels: make the "
        f"image larger, raise size or lower digits until they are {_SMALLEST:.0f} px": room
        >= _SMALLEST,
    }
    for rule, kept in rules.items():
        if not kept:
            raise DataError(f"street numbers: {rule}")
