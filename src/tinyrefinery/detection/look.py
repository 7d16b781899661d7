"""A finished detection run looked at: its measures, the same on other images, and boxes drawn."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from tinyrefinery.data.decode import BrokenImageError, decode
from tinyrefinery.data.images import ResidentImages
from tinyrefinery.data.manifest import SPLITS
from tinyrefinery.detection import build as build
from tinyrefinery.detection.boxes import BoxData, Given
from tinyrefinery.detection.coco_measure import NAMES, check_installed
from tinyrefinery.detection.detections import Decoding, detect
from tinyrefinery.detection.detector import Detector
from tinyrefinery.detection.detector_file import DetectorInfo, load_detector
from tinyrefinery.detection.drawing import SHEET_SIDE, draw_boxes
from tinyrefinery.detection.summary import measures
from tinyrefinery.detection.view import BoxView
from tinyrefinery.errors import DataError
from tinyrefinery.files import atomic_file, write_csv
from tinyrefinery.names import did_you_mean
from tinyrefinery.pages.overlays import Tile, contact_sheet
from tinyrefinery.recipe.detection import DetectionRecipe, Voc, load_detection

Measured = dict[str, Any]
"""Of a detector: split -> what `measures` gives, and `cost`."""


@dataclass(frozen=True)
class Finished:
    """A trained detector in its run folder."""

    folder: Path
    seed: int
    evaluation: Measured


def finished(run: Path) -> list[Finished]:
    """The finished detectors of a run folder, by seed; of two at one seed, the one finished last.

    Raises:
        DataError: when it is no run folder of a detector, or none is finished.
    """
    if not (run / "detectors").is_dir():
        raise DataError(
            f"{run}: no run folder of a detector (it has no folder 'detectors'). Give the folder "
            "that `tinyrefinery detect train` printed, usually runs/NAME."
        )
    done = sorted(run.glob("detectors/*/done.json"), key=lambda path: path.stat().st_mtime)
    found: dict[int, Finished] = {}
    for path in done:
        facts = _read(path.parent / "detector.json")
        seed = int(facts["seed"])
        found[seed] = Finished(path.parent, seed, _read(path.parent / "evaluation.json"))
    if not found:
        raise DataError(f"{run}: no detector is finished; `tinyrefinery detect train` goes on")
    return [found[seed] for seed in sorted(found)]


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: can't be read ({error}). Delete its folder and train again."
        ) from error


def changed_recipe(run: Path, overrides: Sequence[str]) -> DetectionRecipe:
    """The run's recipe with `overrides`, of data and inference only.

    Raises:
        RecipeError: when one is wrong.
        DataError: when one would need another training.
    """
    allowed = ("data.source", "inference", "data.workers")
    for override in overrides:
        path = override.partition("=")[0].strip()
        if not any(path == each or path.startswith(f"{each}.") for each in allowed):
            raise DataError(
                f"override '{override}': a trained detector can be looked at with other "
                f"{', '.join(allowed)}, and nothing else"
            )
    return load_detection(run / "recipe.yaml", list(overrides))


def evaluate_anew(
    run: Path,
    overrides: Sequence[str],
    split: str,
    *,
    say: Callable[[str], object] = lambda text: None,
) -> dict[int, Measured]:
    """The measures of every finished detector on other images, or with other thresholds, by seed.

    Another folder or zip without lists is a test split, all of it.

    Args:
        run: the run folder.
        overrides: of data and inference.
        split: whose images are looked at.
        say: hears what is wrong with the data, and of images that a detector was trained on.

    Raises:
        DataError: when the split is empty, or the images know other classes.
    """
    check_installed()
    recipe = changed_recipe(run, overrides)
    detectors = finished(run)
    data = _images(recipe, changed_recipe(run, []), overrides)
    rows = _rows(data, split)
    if data.problems:
        first, count = data.problems[0], len(data.problems)
        say(
            f"{data.name}: {count} problem{'s' * (count > 1)} with the data, the first: "
            f"{first.kind.replace('_', ' ')}: {first.where}: {first.what}"
        )
    result = {}
    for each in detectors:
        if split != "train" and (known := len(_trained_on(each) & {data.ids[row] for row in rows})):
            say(f"seed {each.seed}: was trained on {known} of these {len(rows)} images")
        network, info = load_detector(each.folder / "model.safetensors")
        same = _renumbered(data, info.classes)
        view = BoxView(same, info.spec.size, mean=info.mean, std=info.std)
        found = detect(network, view, rows, build.decoding(recipe), workers=recipe.data.workers)
        result[each.seed] = {split: measures(same, rows, found), "cost": each.evaluation["cost"]}
    return result


def _trained_on(detector: Finished) -> set[str]:
    """Identities of the training images, but for those in which it finds nothing."""
    path = detector.folder / "found-train.parquet"
    try:
        return set(pq.read_table(path, columns=["id"]).column("id").unique().to_pylist())
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: no readable found boxes ({error})") from error


def _images(recipe: DetectionRecipe, own: DetectionRecipe, overrides: Sequence[str]) -> BoxData:
    """The images of a changed recipe; in another folder or zip, the `own` one's lists mean nothing.

    Args:
        recipe: with the overrides.
        own: without them.
        overrides: of the recipe.
    """
    source = recipe.data.source
    other = isinstance(source, Voc) and source.root != getattr(own.data.source, "root", None)
    if other and not any(each.startswith("data.source.splits") for each in overrides):
        given = any(each.startswith("data.source=") for each in overrides)
        source = source if given else source.model_copy(update={"splits": None})
    return build.box_data(source, measured=other)


def _rows(data: BoxData, split: str) -> np.ndarray:
    rows = data.rows(split)
    if not len(rows):
        known = [name for name in SPLITS if len(data.rows(name))]
        raise DataError(f"{data.name}: the {split} split is empty; it has {', '.join(known)}")
    return rows


def _renumbered(data: BoxData, classes: tuple[str, ...]) -> BoxData:
    """The data with classes numbered as the detector knows them."""
    strange = [name for name in data.classes if name not in classes]
    if strange:
        raise DataError(
            f"{data.name}: has objects of class '{strange[0]}', which the detector doesn't know."
            f"{did_you_mean(strange[0], classes)} It knows: {', '.join(classes)}. Name those that "
            "count with data.source.classes"
        )
    numbers = np.array([classes.index(name) for name in data.classes] or [0], np.int64)
    given = tuple(Given(g.boxes, numbers[g.labels], g.difficult) for g in data.given)
    return BoxData(
        data.name, classes, data.images, data.ids, data.paths, data.splits, given, data.problems
    )


def draw_files(
    run: Path, files: Sequence[Path], out: Path, *, seed: int | None = None, score: float = 0.5
) -> list[tuple[Path, int]]:
    """Draw what a detector finds on image files; the written files and how many boxes each has.

    Raises:
        DataError: when a file is no image, or no detector has that seed.
    """
    network, info, decoding = _detector(run, seed)
    _distinct(files)
    written = []
    for path in files:
        pixels = _decoded(path)
        found = detect(network, _view_of(pixels, info), np.array([0]), decoding)[0]
        target = out / f"{path.stem}-boxes.png"
        drawn = draw_boxes(pixels, found, info.classes, score=score)
        _save(drawn, target, "PNG")
        written.append((target, int((found.scores >= score).sum())))
    return written


def _distinct(files: Sequence[Path]) -> None:
    stems = [path.stem for path in files]
    for stem in stems:
        if stems.count(stem) > 1:
            raise DataError(f"two images are named '{stem}'; draw them into different folders")


def draw_split(
    run: Path,
    split: str,
    out: Path,
    *,
    seed: int | None = None,
    score: float = 0.5,
    count: int = 16,
) -> Path:
    """A contact sheet of a split's first images, with given boxes (white) and found ones.

    Raises:
        DataError: when the split is empty.
    """
    network, info, decoding = _detector(run, seed)
    data = _renumbered(build.box_data(changed_recipe(run, []).data.source), info.classes)
    rows = _rows(data, split)[:count]
    view = BoxView(data, info.spec.size, mean=info.mean, std=info.std)
    found = detect(network, view, rows, decoding)
    drawn = [
        draw_boxes(
            data.images.pixels(int(row)), each, info.classes, score=score, given=data.given[row]
        )
        for row, each in zip(rows, found, strict=True)
    ]
    target = out / f"sheet-{split}.png"
    contact_sheet(target, [Tile([np.asarray(each)], []) for each in drawn], side=SHEET_SIDE)
    return target


def _detector(run: Path, seed: int | None) -> tuple[Detector, DetectorInfo, Decoding]:
    known = {each.seed: each.folder for each in finished(run)}
    wanted = min(known) if seed is None else seed
    if wanted not in known:
        raise DataError(f"{run}: no detector of seed {wanted}; there are {sorted(known)}")
    network, info = load_detector(known[wanted] / "model.safetensors")
    return network, info, build.decoding(changed_recipe(run, []))


def _decoded(path: Path) -> np.ndarray:
    try:
        return decode(path.read_bytes())
    except (OSError, BrokenImageError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path}: can't be read as an image ({reason})") from error


def _view_of(pixels: np.ndarray, info: DetectorInfo) -> BoxView:
    """One image as a data set."""
    images = ResidentImages(torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].contiguous())
    given = (Given.nothing(),)
    data = BoxData("image", info.classes, images, ("",), ("",), np.array(["test"]), given)
    return BoxView(data, info.spec.size, mean=info.mean, std=info.std)


def _save(image: Image.Image, path: Path, kind: str) -> None:
    with atomic_file(path) as aside:
        image.save(aside, format=kind)


def write_results(run: Path) -> Path:
    """`results.csv` of a run folder: a line for each finished seed and split."""
    lines = [
        line
        for each in finished(run)
        for split in SPLITS
        if split in each.evaluation
        for line in [_line(each, split)]
    ]
    names = list(dict.fromkeys(name for line in lines for name in line))
    write_csv(run / "results.csv", names, lines)
    return run / "results.csv"


def _line(each: Finished, split: str) -> dict[str, Any]:
    found = each.evaluation[split]
    coco = {f"coco_{name}": found["coco"].get(name) for name in NAMES}
    classes = {f"ap11_{name}": one["ap11"] for name, one in found["classes"].items()}
    names = ("images", "objects", "map11", "map_area", "blind_map11")
    numbers = {name: found[name] for name in names}
    return {"seed": each.seed, "split": split, **numbers, **coco, **classes} | each.evaluation[
        "cost"
    ]
