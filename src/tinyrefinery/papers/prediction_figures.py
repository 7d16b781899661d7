"""Figures 7 and 8 of Label Refinery: top-3 predictions for a crop, and for an image.

`runs.top_changes` chooses crop and image: the one whose top-3 distribution changed most from the
first to the last generation, with ties going to the lower manifest row.
"""

from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tinyrefinery.errors import DataError
from tinyrefinery.evaluation.prediction_table import Predictions
from tinyrefinery.pages.style import INK, MUTED, PLAIN, REFINED, STYLE, short
from tinyrefinery.reading.arrays import read_arrays
from tinyrefinery.runs.lineage import longest_line
from tinyrefinery.runs.run_folder import Run, TrainedStage
from tinyrefinery.runs.stage_digests import check_file
from tinyrefinery.runs.top_changes import TOP, most_changed, top_change

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class ChangedSample:
    """One sample with its predictions over the generations."""

    row: int
    """Its manifest row; -1 if the run did not keep it."""
    label: int
    classes: tuple[str, ...]
    titles: tuple[str, ...]
    """Title of each generation, in order."""
    probabilities: np.ndarray
    """(G, K)."""
    change: float
    """Total variation of the top-3 distribution from first to last, in [0, 1]."""
    candidates: int
    """Number of samples from which it was chosen."""
    picture: np.ndarray | None
    """Source image uint8 (H, W, C); None if the run did not keep it."""
    box: tuple[float, float, float, float] | None
    """Top, left, height, width of the crop in the picture; None for the whole image."""


def changed_crop(folder: Run) -> ChangedSample | None:
    """The training crop of samples.npz that changed most; None without two generations in it."""
    arrays = read_arrays(folder.path / "samples.npz", "Delete it.")
    numbers = _line_numbers(arrays, folder)
    if len(numbers) < 2:
        return None
    labels = np.stack([arrays[f"labels_{number}"] for number in numbers])  # (G, n, K)
    rows = arrays["row"] if "row" in arrays else np.arange(labels.shape[1])
    (place,) = most_changed(labels, rows)
    top, left, height, width = map(float, arrays["boxes"][place])
    return ChangedSample(
        row=int(rows[place]) if "row" in arrays else -1,
        label=int(arrays["label"][place]),
        classes=tuple(map(str, arrays["classes"])),
        titles=tuple(str(arrays[f"title_{number}"]) for number in numbers),
        probabilities=labels[:, place],
        change=float(top_change(labels)[place]),
        candidates=int(arrays.get("candidates", np.array(labels.shape[1]))),
        picture=arrays["source"][place],
        box=(top, left, height, width),
    )


def changed_image(folder: Run) -> ChangedSample | None:
    """The validation image that changed most; None without two generations of one line.

    Raises:
        DataError: when predictions are missing or are of different images.
    """
    arrays = read_arrays(folder.path / "samples.npz", "Delete it.")
    line = _line(folder, arrays)
    if len(line) < 2:
        return None
    stored = [check_file(stage.folder / "predictions-validation.parquet") for stage in line]
    tables = [Predictions.load(path) for path in stored]
    first = tables[0]
    if any(not np.array_equal(table.rows, first.rows) for table in tables):
        raise DataError(
            f"{folder.path}: the generations' predictions are of different validation images: "
            "delete the run and train it again"
        )
    probabilities = np.stack([table.probabilities for table in tables])  # (G, n, K)
    (place,) = most_changed(probabilities, first.rows)
    row = int(first.rows[place])
    is_row = arrays["validation_row"] == row if "validation_row" in arrays else np.zeros(0, bool)
    return ChangedSample(
        row=row,
        label=int(first.labels[place]),
        classes=first.classes,
        titles=tuple(stage.stage for stage in line),
        probabilities=probabilities[:, place],
        change=float(top_change(probabilities)[place]),
        candidates=probabilities.shape[1],
        picture=arrays["validation_source"][is_row][0] if is_row.any() else None,
        box=None,
    )


def sample_figure(sample: ChangedSample) -> Figure:
    """Draw the picture, with the three most probable classes of each generation next to it."""
    with rc_context(STYLE):
        generations = len(sample.titles)
        figure = Figure(figsize=(6.4, 0.6 + 0.72 * generations), layout="constrained")
        left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1, 2.2)).flat
        _picture(left.add_subplot(), sample)
        grid = list(right.subplots(generations, 1, squeeze=False, sharex=True).flat)
        for axes, title, row in zip(grid, sample.titles, sample.probabilities, strict=True):
            _bars(axes, title, row, sample)
        grid[-1].set_xlabel("probability")
    return figure


def _picture(axes: Axes, sample: ChangedSample) -> None:
    axes.set_axis_off()
    axes.set_title(short(f"label: {sample.classes[sample.label]}", 26))
    if sample.picture is None:
        axes.text(0.5, 0.5, f"row {sample.row}\n(picture not kept)", ha="center", color=MUTED)
        return
    pixels = sample.picture
    gray = pixels.shape[2] == 1
    axes.imshow(pixels[..., 0] if gray else pixels, cmap="gray" if gray else None, vmin=0, vmax=255)
    if sample.box is not None:
        top, left, height, width = sample.box
        for tint, thick in (("white", 3.5), (REFINED, 1.8)):
            box = Rectangle((left - 0.5, top - 0.5), width, height, fill=False, ec=tint, lw=thick)
            axes.add_patch(box)


def _bars(axes: Axes, title: str, probabilities: np.ndarray, sample: ChangedSample) -> None:
    """Draw the top classes of one generation, from probabilities (K,)."""
    top = np.argsort(-probabilities, kind="stable")[:TOP]
    tints = [REFINED if label == sample.label else PLAIN for label in top]
    axes.barh(range(len(top)), probabilities[top], color=tints, height=0.72)
    axes.set_yticks(range(len(top)), [short(sample.classes[label], 22) for label in top])
    for label, text in zip(top, axes.get_yticklabels(), strict=True):
        text.set_color(INK)
        text.set_fontweight("bold" if label == sample.label else "normal")
    for place, label in enumerate(top):
        share = float(probabilities[label])
        axes.text(share + 0.01, place, f"{share:.2f}", va="center", fontsize=8, color=INK)
    axes.set_ylim(len(top) - 0.4, -0.6)
    axes.set_xlim(0, 1.1)
    axes.grid(False, axis="y")
    axes.set_title(short(title, 48), fontsize=9)


def _line(folder: Run, arrays: Arrays) -> list[TrainedStage]:
    """The generations with samples, else the longest line of the lowest seed."""
    stages = {stage.key: stage for stage in folder.stages}
    keys = tuple(map(str, arrays.get("line_keys", ())))
    if keys and all(key in stages for key in keys):
        return [stages[key] for key in keys]
    lowest = min((stage.seed for stage in folder.stages), default=0)
    refiners = {key: stage.refiners for key, stage in stages.items() if stage.seed == lowest}
    return [stages[key] for key in longest_line(refiners)]


def _line_numbers(arrays: Arrays, folder: Run) -> list[int]:
    """Numbers of the labels in samples.npz from the generations of the line."""
    if "line_labels" in arrays:
        return [int(number) for number in arrays["line_labels"]]
    titles = {
        str(arrays[name]).split(" (")[0]: int(name.removeprefix("title_"))
        for name in arrays
        if name.startswith("title_") and name.removeprefix("title_").isdecimal()
    }
    return [titles[stage.stage] for stage in _line(folder, arrays) if stage.stage in titles]
