"""Figures 7 and 8 of Label Refinery: top-3 predictions of a crop, and of an image.

Which crop and image is decided by `evaluation.top_changes`: the one whose top-3 distribution moved
most from the first to the last generation, the lower manifest row among equals.
"""

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tinyrefinery.errors import DataError
from tinyrefinery.evaluation.prediction_table import Predictions
from tinyrefinery.pages.style import INK, MUTED, PLAIN, REFINED, STYLE, short
from tinyrefinery.runs.folder import Run, TrainedStage
from tinyrefinery.runs.lineage import longest_line
from tinyrefinery.runs.top_changes import TOP, most_changed, top_change

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Story:
    """One sample through the generations."""

    row: int
    """Its manifest row; -1 where an older run didn't keep it."""
    label: int
    classes: tuple[str, ...]
    titles: tuple[str, ...]
    """Of the generations, the first one first."""
    said: np.ndarray
    """(G, K) probabilities."""
    change: float
    """Total variation of the top-3 distribution, first to last, in [0, 1]."""
    candidates: int
    """Among how many it is the one that changed most."""
    picture: np.ndarray | None
    """uint8 (H, W, C) source image; None where it was not kept."""
    box: tuple[float, float, float, float] | None
    """Top, left, height, width of the crop in the picture; None: the whole image."""


def crop_story(folder: Run) -> Story | None:
    """The training crop of samples.npz that changed most; None without two generations in it.

    Runs keep the crops that changed most among some hundred; older ones a dozen at random.
    """
    arrays = _samples(folder.path / "samples.npz")
    numbers = _line_numbers(arrays, folder)
    if len(numbers) < 2:
        return None
    said = np.stack([arrays[f"labels_{number}"] for number in numbers])
    rows = arrays["row"] if "row" in arrays else np.arange(said.shape[1])
    (place,) = most_changed(said, rows)
    top, left, height, width = map(float, arrays["boxes"][place])
    return Story(
        row=int(rows[place]) if "row" in arrays else -1,
        label=int(arrays["label"][place]),
        classes=tuple(map(str, arrays["classes"])),
        titles=tuple(str(arrays[f"title_{number}"]) for number in numbers),
        said=said[:, place],
        change=float(top_change(said)[place]),
        candidates=int(arrays.get("candidates", np.array(said.shape[1]))),
        picture=arrays["source"][place],
        box=(top, left, height, width),
    )


def image_story(folder: Run) -> Story | None:
    """The validation image that changed most; None without two generations of one line.

    Raises:
        DataError: when predictions are missing or don't belong to the same images.
    """
    arrays = _samples(folder.path / "samples.npz")
    line = _line(folder, arrays)
    if len(line) < 2:
        return None
    found = [Predictions.load(each.folder / "predictions-validation.parquet") for each in line]
    if any(not np.array_equal(each.rows, found[0].rows) for each in found):
        raise DataError(f"{folder.path}: the generations predicted different validation images")
    said = np.stack([each.probabilities for each in found])
    (place,) = most_changed(said, found[0].rows)
    row = int(found[0].rows[place])
    known = arrays["validation_row"] == row if "validation_row" in arrays else np.zeros(0, bool)
    kept = arrays["validation_source"][known][0] if known.any() else None
    return Story(
        row=row,
        label=int(found[0].labels[place]),
        classes=found[0].classes,
        titles=tuple(each.stage for each in line),
        said=said[:, place],
        change=float(top_change(said)[place]),
        candidates=said.shape[1],
        picture=kept,
        box=None,
    )


def story_figure(story: Story) -> Figure:
    """The picture, and beside it the three most probable classes of each generation."""
    with rc_context(STYLE):
        generations = len(story.titles)
        figure = Figure(figsize=(6.4, 0.6 + 0.72 * generations), layout="constrained")
        left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1, 2.2)).flat
        _picture(left.add_subplot(), story)
        grid = list(right.subplots(generations, 1, squeeze=False, sharex=True).flat)
        for axes, title, said in zip(grid, story.titles, story.said, strict=True):
            _bars(axes, title, said, story)
        grid[-1].set_xlabel("probability")
    return figure


def _picture(axes: Axes, story: Story) -> None:
    axes.set_axis_off()
    axes.set_title(short(f"given: {story.classes[story.label]}", 26))
    if story.picture is None:
        axes.text(0.5, 0.5, f"row {story.row}\n(picture not kept)", ha="center", color=MUTED)
        return
    pixels = story.picture
    grey = pixels.shape[2] == 1
    axes.imshow(pixels[..., 0] if grey else pixels, cmap="gray" if grey else None, vmin=0, vmax=255)
    if story.box is not None:
        top, left, height, width = story.box
        for tint, thick in (("white", 3.5), (REFINED, 1.8)):
            box = Rectangle((left - 0.5, top - 0.5), width, height, fill=False, ec=tint, lw=thick)
            axes.add_patch(box)


def _bars(axes: Axes, title: str, said: np.ndarray, story: Story) -> None:
    order = np.argsort(-said, kind="stable")[:TOP]
    tints = [REFINED if each == story.label else PLAIN for each in order]
    axes.barh(range(len(order)), said[order], color=tints, height=0.72)
    names = [short(story.classes[each], 22) for each in order]
    axes.set_yticks(range(len(order)), names)
    for each, text in zip(order, axes.get_yticklabels(), strict=True):
        text.set_color(INK)
        text.set_fontweight("bold" if each == story.label else "normal")
    for place, each in enumerate(order):
        share = float(said[each])
        axes.text(share + 0.01, place, f"{share:.2f}", va="center", fontsize=8, color=INK)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xlim(0, 1.1)
    axes.grid(False, axis="y")
    axes.set_title(short(title, 48), fontsize=9)


def _samples(path: Path) -> Arrays:
    """Arrays of samples.npz, none where there is no such file."""
    if not path.exists():
        return {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise DataError(f"{path}: no readable samples ({error}). Delete it") from error


def _line(folder: Run, arrays: Arrays) -> list[TrainedStage]:
    """The generations that the run kept samples of, else the longest line of the lowest seed."""
    stages = {each.key: each for each in folder.stages}
    keys = tuple(map(str, arrays.get("line_keys", ())))
    if keys and all(key in stages for key in keys):
        return [stages[key] for key in keys]
    lowest = min((each.seed for each in folder.stages), default=0)
    mine = {key: each.refiners for key, each in stages.items() if each.seed == lowest}
    return [stages[key] for key in longest_line(mine)]


def _line_numbers(arrays: Arrays, folder: Run) -> list[int]:
    """Numbers of the labels in samples.npz that the generations of the line gave."""
    if "line_labels" in arrays:
        return [int(each) for each in arrays["line_labels"]]
    titles = {
        str(arrays[name]).split(" (")[0]: int(name.removeprefix("title_"))
        for name in arrays
        if name.startswith("title_") and name.removeprefix("title_").isdecimal()
    }
    return [titles[each.stage] for each in _line(folder, arrays) if each.stage in titles]
