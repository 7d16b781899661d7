"""Finished detectors: measured on other images, or drawing the boxes that they find."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tinyrefinery.data.decode import BrokenImageError, decode
from tinyrefinery.data.images import ResidentImages
from tinyrefinery.data.manifest import SPLITS
from tinyrefinery.detection import build
from tinyrefinery.detection.box_view import BoxView
from tinyrefinery.detection.boxes import BoxData, GroundTruth
from tinyrefinery.detection.coco_measure import check_installed
from tinyrefinery.detection.detections import detect
from tinyrefinery.detection.detector import Detector
from tinyrefinery.detection.detector_file import DetectorInfo, load_detector
from tinyrefinery.detection.detector_measures import measures
from tinyrefinery.detection.drawing import draw_boxes, draw_sheet
from tinyrefinery.errors import DataError, did_you_mean
from tinyrefinery.files import atomic_file
from tinyrefinery.networks.choice import Choice, choose_one
from tinyrefinery.recipe.detection import DetectionRecipe, Inference, Voc, load_detection
from tinyrefinery.recipe.load import part_hash
from tinyrefinery.runs.run_folder import TrainedStage, open_run, open_stage, stage_folder_of
from tinyrefinery.runs.stage_record import DETECTOR

Measured = dict[str, dict[str, Any]]
"""Stage key -> split -> what `measures` gives; and `cost`."""

log = logging.getLogger("tinyrefinery")


def detectors(path: Path) -> list[TrainedStage]:
    """The finished detectors of a run folder, or the one of a stage's folder.

    Raises:
        DataError: when there is none.
    """
    folder = stage_folder_of(path)
    stages = open_run(path).stages if folder is None else [open_stage(folder)]
    finished = [stage for stage in stages if stage.kind == DETECTOR]
    if not finished:
        raise DataError(
            f"{path}: has no finished detector. Give the folder that `tinyrefinery detect train` "
            "printed, usually runs/NAME."
        )
    return finished


def choose_detector(path: Path, seed: int | None = None, row: str | None = None) -> TrainedStage:
    """The detector of a run folder or of a stage's folder; see `networks.choice`.

    Raises:
        DataError: when there is none.
        ChoiceError: when the run has no such seed or row, or rows of a table differ in it.
    """
    if len(finished := detectors(path)) == 1 and (seed, row) == (None, None):
        return finished[0]
    return choose_one(open_run(path), Choice(seed=seed, row=row))


def changed_recipe(stage: TrainedStage, overrides: Sequence[str]) -> DetectionRecipe:
    """The recipe of a detector with `overrides`, of data and inference only.

    Raises:
        RecipeError: when one is wrong.
        DataError: when one would need another training.
    """
    allowed = ("data.source", "inference", "data.workers")
    for override in overrides:
        path = override.partition("=")[0].strip()
        if not any(path == name or path.startswith(f"{name}.") for name in allowed):
            raise DataError(
                f"override '{override}': a trained detector can be measured with other "
                f"{', '.join(allowed)}, and nothing else"
            )
    return load_detection(stage.recipe, list(overrides))


def measure_again(path: Path, overrides: Sequence[str], split: str) -> Measured:
    """The measures of finished detectors on other images, or with other thresholds.

    Another folder or zip without lists is a test split, all of it. Images that a detector was
    trained or chosen on are left out of it. How many is logged, and problems of the data are.

    Args:
        path: a run folder, or a stage's folder.
        overrides: of data and inference.
        split: whose images are measured.

    Raises:
        DataError: when no image is left to measure on, or the images have other classes.
    """
    check_installed()
    opened: dict[str, BoxData] = {}
    result = {}
    for stage in detectors(path):
        recipe = changed_recipe(stage, overrides)
        source = part_hash(recipe.data.source)
        if source not in opened:
            opened[source] = _images(recipe, changed_recipe(stage, []), overrides)
            _log_problems(opened[source])
        data = opened[source]
        rows = _held_out(stage, data, split)
        network, info = load_detector(stage.intact_network)
        same = _renumbered(data, info.classes)
        view = BoxView(same, info.spec.size, mean=info.mean, std=info.std)
        boxes = detect(network, view, rows, recipe.inference, workers=recipe.data.workers)
        measured = {split: measures(same, rows, boxes), "cost": stage.evaluation["cost"]}
        result[stage.key] = measured
    return result


def _log_problems(data: BoxData) -> None:
    if data.problems:
        first, count = data.problems[0], len(data.problems)
        log.info(
            f"{data.name}: {count} problem{'s' * (count > 1)} with the data, the first: "
            f"{first.kind.replace('_', ' ')}: {first.where}: {first.what}"
        )


def _held_out(stage: TrainedStage, data: BoxData, split: str) -> np.ndarray:
    """Rows of a split, without images that a detector used otherwise; of `train`, all.

    Images that it was trained on are left out, and of the test split those it was chosen on.

    Raises:
        DataError: when no row is left.
    """
    rows = _rows(data, split)
    if split == "train":
        return rows
    table = stage.images()
    ids, splits = table.column("id").to_pylist(), table.column("split").to_pylist()
    used = dict.fromkeys(stage.seen_outside(), "train")
    used |= {id: s for id, s in zip(ids, splits, strict=True) if s != "test"}
    kept = [row for row in rows if used.get(data.ids[row], split) == split]
    if not kept:
        raise DataError(
            f"{data.name}: {stage.label} was trained or chosen on all {len(rows)} images of the "
            f"{split} split, so none of them is held out. Name other images: data.source.root=..."
        )
    if left_out := len(rows) - len(kept):
        log.info(
            f"{stage.label}: {left_out} of these {len(rows)} images are left out: it was trained "
            "or chosen on them"
        )
    return np.array(kept)


def _images(recipe: DetectionRecipe, trained: DetectionRecipe, overrides: Sequence[str]) -> BoxData:
    """The images of a changed recipe. Lists of the `trained` one mean nothing in another folder.

    Args:
        recipe: with the overrides.
        trained: without them.
        overrides: of the recipe.
    """
    source = recipe.data.source
    other = isinstance(source, Voc) and source.root != getattr(trained.data.source, "root", None)
    if other and not any(override.startswith("data.source.splits") for override in overrides):
        given = any(override.startswith("data.source=") for override in overrides)
        source = source if given else source.model_copy(update={"splits": None})
    return build.box_data(source, measured=other)


def _rows(data: BoxData, split: str) -> np.ndarray:
    rows = data.rows(split)
    if not len(rows):
        known = [name for name in SPLITS if len(data.rows(name))]
        raise DataError(f"{data.name}: the {split} split is empty; it has {', '.join(known)}")
    return rows


def _renumbered(data: BoxData, classes: tuple[str, ...]) -> BoxData:
    """The data with classes numbered as the detector's."""
    strange = [name for name in data.classes if name not in classes]
    if strange:
        raise DataError(
            f"{data.name}: has objects of class '{strange[0]}', which the detector was not trained "
            f"on.{did_you_mean(strange[0], classes)} Its classes: {', '.join(classes)}. Name those "
            "that count with data.source.classes"
        )
    numbers = np.array([classes.index(name) for name in data.classes] or [0], np.int64)
    truth = tuple(GroundTruth(t.boxes, numbers[t.labels], t.difficult) for t in data.truth)
    return BoxData(
        data.name, classes, data.images, data.ids, data.paths, data.splits, truth, data.problems
    )


def draw_files(
    stage: TrainedStage, images: Sequence[Path], out: Path, *, score: float = 0.5
) -> list[tuple[Path, int]]:
    """Draw what a detector finds on image files.

    Args:
        stage: the detector.
        images: the files.
        out: the folder to write to.
        score: least probability of a box that is drawn.

    Returns:
        The written files, and how many boxes each has.

    Raises:
        DataError: when a file is not an image.
    """
    (network, info), inference = _opened(stage)
    _check_distinct(images)
    written = []
    for file in images:
        pixels = _decoded(file)
        boxes = detect(network, _view_of(pixels, info), np.array([0]), inference)[0]
        target = out / f"{file.stem}-boxes.png"
        drawn = draw_boxes(pixels, boxes, info.classes, score=score)
        _save(drawn, target)
        written.append((target, int((boxes.scores >= score).sum())))
    return written


def _opened(stage: TrainedStage) -> tuple[tuple[Detector, DetectorInfo], Inference]:
    return load_detector(stage.intact_network), changed_recipe(stage, []).inference


def _check_distinct(images: Sequence[Path]) -> None:
    stems = [file.stem for file in images]
    for stem in stems:
        if stems.count(stem) > 1:
            raise DataError(f"two images are named '{stem}'; draw them into different folders")


def draw_split(
    stage: TrainedStage, split: str, out: Path, *, score: float = 0.5, count: int = 16
) -> Path:
    """A contact sheet of a split's first images, with ground-truth boxes (white) and detected ones.

    Raises:
        DataError: when the split is empty.
    """
    (network, info), inference = _opened(stage)
    data = _renumbered(build.box_data(changed_recipe(stage, []).data.source), info.classes)
    rows = _rows(data, split)[:count]
    view = BoxView(data, info.spec.size, mean=info.mean, std=info.std)
    target = out / f"sheet-{split}.png"
    draw_sheet(target, data, rows, detect(network, view, rows, inference), score=score)
    return target


def _decoded(path: Path) -> np.ndarray:
    try:
        return decode(path.read_bytes())
    except (OSError, BrokenImageError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path}: can't be read as an image ({reason})") from error


def _view_of(pixels: np.ndarray, info: DetectorInfo) -> BoxView:
    """One image as a dataset."""
    images = ResidentImages(torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].contiguous())
    truth = (GroundTruth.nothing(),)
    data = BoxData("image", info.classes, images, ("",), ("",), np.array(["test"]), truth)
    return BoxView(data, info.spec.size, mean=info.mean, std=info.std)


def _save(image: Image.Image, path: Path) -> None:
    with atomic_file(path) as aside:
        image.save(aside, format="PNG")
