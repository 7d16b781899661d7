"""Opening images and boxes in Pascal VOC's layout, from a folder or a zip.

    ROOT/JPEGImages/NAME.jpg     (or another image format)
    ROOT/Annotations/NAME.xml
    ROOT/ImageSets/Main/train.txt, val.txt, test.txt (optional): one NAME per line

A root may hold several such datasets, e.g. VOC2007 and VOC2012. Splits then name the folder of each
list: `{train: VOC2012/trainval, test: VOC2007/test}`.

A problem in a single file does not stop the opening. It is reported with the action taken. Kinds of
problem: `broken_annotation`, `missing_image`, `missing_annotation`, `listed_twice`, `broken_image`,
`one_color`, `nearly_black`, `missing_size`, `resized_image`, `turned_image`, `other_size`,
`unreadable_object`, `inverted_box`, `zero_area`, `outside`, `clipped`, `unknown_class`,
`no_objects`, `duplicate_across_splits`, `near_copies`, `empty_class`, `empty_split`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa

from tinyrefinery.data.copies.together import keep_together
from tinyrefinery.data.dataset import Dataset, Problem
from tinyrefinery.data.decode import jpeg_orientation
from tinyrefinery.data.examine import examine
from tinyrefinery.data.images import EncodedImages
from tinyrefinery.data.manifest import SPLITS, Manifest
from tinyrefinery.data.opening_checks import copies_across_splits, empty_images, raise_problems
from tinyrefinery.data.sources.found_pictures import ENDINGS
from tinyrefinery.data.splits import SPLIT_WORDS, choose_stratified
from tinyrefinery.detection.boxes import BoxData, GroundTruth
from tinyrefinery.detection.container import Container, open_container
from tinyrefinery.detection.voc_xml import Annotation, has_swapped_size, parse, place_objects
from tinyrefinery.errors import DataError, did_you_mean
from tinyrefinery.recipe.detection import Voc

_LAYOUT = "Expected JPEGImages/*.jpg, Annotations/*.xml and, optionally, ImageSets/Main/*.txt"

_HARMLESS = ("no_objects", "near_copies")  # problems that a strict opening accepts


@dataclass(frozen=True)
class _Entry:
    """An annotated image before decoding."""

    name: str
    image: str
    split: str
    annotation: Annotation
    xml: str


def open_voc(part: Voc, *, measured: bool = False) -> BoxData:
    """Open a dataset.

    Args:
        part: its options.
        measured: open it to evaluate a trained detector. Without lists, all images are test images.
            No shares are split off, and neither training images nor objects of each class are
            required.

    Raises:
        DataError: when there is nothing to train on, a named list is missing, or there is a problem
            other than images without objects and near copies, and `strict` is set.
    """
    root = part.root
    files = open_container(root)
    name = Path(root).stem
    entries, problems = [], []
    for base, lists in _datasets(files, part).items():
        of_base = part.model_copy(update={"splits": lists})
        more, faults = _entries(files, base, of_base, measured=measured)
        entries, problems = [*entries, *more], [*problems, *faults]
    if not entries:
        raise DataError(f"{root}: no annotated image. {_first(problems)}")
    data = _decode(name, files, entries, problems, part.classes, measured=measured)
    if not len(data):
        raise DataError(f"{root}: no usable image. {_first(data.problems)}")
    if measured:
        data = _assign_splits(data, part, {})
    else:
        data = _assign_splits(data, part, {"test": part.test, "validation": part.validation})
        data = replace(data, problems=(*data.problems, *_empty_problems(data)))
    if part.strict:
        raise_problems(name, [p for p in data.problems if p.kind not in _HARMLESS])
    if not measured and not sum(data.counts("train").values()):
        raise DataError(
            f"{root}: no training image with an object is left. {_first(data.problems)}"
        )
    return data


def _datasets(files: Container, part: Voc) -> dict[str, dict | None]:
    """The folders that contain Annotations, each with the lists of its splits.

    A folder ends with a slash, or is empty for the root. Lists are None to be found by name.
    """
    tops = {
        name.rpartition("Annotations/")[0]
        for name in files.names
        if name.lower().endswith(".xml") and PurePosixPath(name).parent.name == "Annotations"
    }
    if not tops:
        raise DataError(f"{part.root}: no Annotations/*.xml. {_LAYOUT}")
    if part.splits and any("/" in name for name in part.splits.values()):
        return _by_folder(tops, part, part.splits)
    least = min(top.count("/") for top in tops)
    nearest_tops = sorted(top for top in tops if top.count("/") == least)
    if len(nearest_tops) > 1:
        raise DataError(
            f"{part.root}: contains several datasets ({', '.join(nearest_tops)}): give one of "
            "these folders, or name lists of several with data.source.splits, e.g. "
            f"{{train: {nearest_tops[-1]}trainval, test: {nearest_tops[0]}test}}"
        )
    return {nearest_tops[0]: part.splits}


def _by_folder(tops: Collection[str], part: Voc, splits: Mapping) -> dict[str, dict | None]:
    """The folders that splits name as FOLDER/LIST, each with its lists."""
    found: dict[str, dict | None] = {}
    for split, name in splits.items():
        folder, _, each = name.rpartition("/")
        matching = [top for top in tops if f"/{top}".endswith(f"/{folder}/")]
        if not folder or len(matching) != 1:
            known = ", ".join(f"{top}{each}" for top in sorted(tops))
            raise DataError(
                f"{part.root}: splits.{split}: '{name}' names no single dataset with annotations; "
                f"there are {known}"
            )
        found[matching[0]] = {**(found.get(matching[0]) or {}), split: each}
    return found


def _entries(
    files: Container, base: str, part: Voc, *, measured: bool
) -> tuple[list[_Entry], list[Problem]]:
    """Annotations with their images and splits, and problems with missing ones."""
    images = _by_stem(files, f"{base}JPEGImages/", ENDINGS)
    xmls = _by_stem(files, f"{base}Annotations/", {".xml"})
    lists = _by_stem(files, f"{base}ImageSets/Main/", {".txt"})
    split_lists = _split_lists(lists, part, measured=measured)
    if split_lists:
        split_of, problems = _read_lists(files, split_lists, {*xmls, *images})
    else:
        split_of, problems = dict.fromkeys(sorted(xmls), "test" if measured else "train"), []
    entries = []
    for name, split in split_of.items():
        if name not in xmls:
            what = "no annotation" if name in images else "neither image nor annotation"
            text = f"in the list of {split}, but there is {what}; left out"
            problems.append(Problem("missing_annotation", name, text))
            continue
        try:
            annotation = parse(files.read(xmls[name]))
        except (DataError, OSError) as error:
            problems.append(Problem("broken_annotation", xmls[name], f"{error}; left out"))
            continue
        image = images.get(name) or images.get(PurePosixPath(annotation.filename).stem)
        if image is None:
            text = f"no image with this name in {base}JPEGImages; left out"
            problems.append(Problem("missing_image", xmls[name], text))
            continue
        entries.append(_Entry(name, image, split, annotation, xmls[name]))
    if not split_lists:
        problems += _unannotated(images, xmls, {entry.image for entry in entries})
    return entries, problems


def _unannotated(
    images: Mapping[str, str], xmls: Collection[str], used: Collection[str]
) -> list[Problem]:
    """Images without annotation, in a dataset without lists."""
    text = "no annotation; left out. If it shows no object, write an annotation without objects"
    return [
        Problem("missing_annotation", image, text)
        for name, image in sorted(images.items())
        if name not in xmls and image not in used
    ]


def _by_stem(files: Container, folder: str, endings: set[str] | frozenset[str]) -> dict[str, str]:
    """The files of a folder by their names without extension. The first of several counts."""
    by_stem: dict[str, str] = {}
    for name in files.names:
        path = PurePosixPath(name)
        if name.startswith(folder) and path.suffix.lower() in endings:
            by_stem.setdefault(name[len(folder) : len(name) - len(path.suffix)], name)
    return by_stem


def _split_lists(lists: Mapping[str, str], part: Voc, *, measured: bool) -> dict[str, str]:
    """The list file of each split; empty if the dataset has no lists."""
    if part.splits is not None:
        for split, name in part.splits.items():
            if name not in lists:
                names = ", ".join(sorted(lists)) or "none"
                raise DataError(
                    f"{part.root}: splits.{split}: no list '{name}' in ImageSets/Main."
                    f"{did_you_mean(name, lists)} Lists: {names}."
                )
        return {split: lists[name] for split, name in part.splits.items()}
    by_name = {SPLIT_WORDS[name]: file for name, file in lists.items() if name in SPLIT_WORDS}
    if "train" not in by_name and "trainval" in lists:
        by_name["train"] = lists["trainval"]
    if lists and not (by_name if measured else "train" in by_name):
        raise DataError(
            f"{part.root}: ImageSets/Main has no train.txt: name a list with data.source.splits, "
            f"e.g. {{train: {min(lists)}}}"
        )
    return by_name


def _read_lists(
    files: Container, lists: Mapping[str, str], names: Collection[str]
) -> tuple[dict[str, str], list[Problem]]:
    """The split of each name. A name in two lists goes to test, else to validation.

    Args:
        files: the files.
        lists: the list file of each split.
        names: names of images and annotations.
    """
    split_of: dict[str, str] = {}
    problems = []
    for split in reversed(SPLITS):
        if split not in lists:
            continue
        lines = files.read(lists[split]).decode("utf-8-sig", "replace").splitlines()
        for name in dict.fromkeys(_name(line.strip(), names) for line in lines if line.strip()):
            if name in split_of:
                text = f"also in the list of {split_of[name]}; left out of {split}"
                problems.append(Problem("listed_twice", name, text))
            else:
                split_of[name] = split
    return dict(sorted(split_of.items())), problems


def _name(line: str, names: Collection[str]) -> str:
    """The image of a line in a list. A name may have spaces, an extension, or a flag after it."""
    first = line.split()[0]
    for text in (line, line.rpartition(" ")[0].strip(), first):  # "NAME 1", as in lists of classes
        for name in (text, PurePosixPath(text).stem):
            if name in names:
                return name
    return first


def _decode(
    name: str,
    files: Container,
    entries: Sequence[_Entry],
    problems: Sequence[Problem],
    classes: Sequence[str] | None,
    *,
    measured: bool,
) -> BoxData:
    """Decode every image once, and convert its boxes to its pixels."""
    image_names = [entry.image for entry in entries]
    blobs = files.blobs(image_names)
    stamps = [files.stamp(image) for image in image_names]
    examined, _ = examine(blobs, channels=3, home=name, stamps=stamps, resident_bytes=0)
    problems = list(problems)
    kept, objects = [], []
    for row, entry in enumerate(entries):
        if examined.reasons[row]:
            text = f"{examined.reasons[row]}; left out"
            problems.append(Problem("broken_image", entry.image, text))
            continue
        one = slice(row, row + 1)
        problems += empty_images(examined.one_color[one], examined.brightest[one], [entry.image])
        sides = int(examined.sizes[row][0]), int(examined.sizes[row][1])
        rotated = has_swapped_size(entry.annotation, *sides)
        orientation = jpeg_orientation(blobs[row]) if rotated else 1
        image_objects, faults = place_objects(entry.annotation, *sides, orientation)
        problems += [Problem(kind, entry.xml, what) for kind, what in faults]
        kept.append(row)
        objects.append(image_objects)
    names = tuple(classes) if classes and measured else _class_names(objects, classes)
    truth = []
    for row, image_objects in zip(kept, objects, strict=True):
        boxes, unknown = _ground_truth(image_objects, names)
        problems += [Problem("unknown_class", entries[row].xml, text) for text in unknown]
        if not len(boxes):
            text = "no object; kept as an example of background"
            problems.append(Problem("no_objects", entries[row].xml, text))
        truth.append(boxes)
    rows = np.array(kept, np.int64)
    return BoxData(
        name=name,
        classes=names,
        images=EncodedImages(blobs, examined.sizes[rows], 3, rows),
        ids=tuple(examined.ids[row] for row in kept),
        paths=tuple(entries[row].image for row in kept),
        splits=np.array([entries[row].split for row in kept], dtype=str),
        truth=tuple(truth),
        problems=tuple(problems),
    )


def _class_names(
    objects: Sequence[Sequence[tuple[str, np.ndarray, bool]]], classes: Sequence[str] | None
) -> tuple[str, ...]:
    names = sorted({name for image_objects in objects for name, _, _ in image_objects})
    if classes is None:
        return tuple(names)
    for name in classes:
        if name not in names:
            raise DataError(
                f"data.source.classes: no object has the class '{name}'."
                f"{did_you_mean(name, names)} Classes: {', '.join(names)}."
            )
    return tuple(classes)


def _ground_truth(
    objects: Sequence[tuple[str, np.ndarray, bool]], classes: Sequence[str]
) -> tuple[GroundTruth, list[str]]:
    """The boxes of one image, and messages on objects of other classes."""
    kept = [entry for entry in objects if entry[0] in classes]
    unknown = [
        f"'{name}' is not among the classes; left out"
        for name, _, _ in objects
        if name not in classes
    ]
    if not kept:
        return GroundTruth.nothing(), unknown
    labels = np.array([classes.index(name) for name, _, _ in kept], np.int64)
    boxes = np.stack([box for _, box, _ in kept]).astype(np.float32)
    return GroundTruth(boxes, labels, np.array([hard for _, _, hard in kept], bool)), unknown


def _assign_splits(data: BoxData, part: Voc, shares: Mapping[str, float]) -> BoxData:
    """Split off shares for splits without lists, and keep copies in one split."""
    labels = pa.array(np.zeros(len(data), np.int64))  # images with boxes have no single class
    columns = {"id": list(data.ids), "path": list(data.paths), "label": labels}
    table = pa.table({**columns, "split": pa.array(data.splits.tolist(), pa.string())})
    dataset = Dataset(data.name, Manifest(table, data.classes or ("",)), data.images)
    missing = [split for split in shares if shares[split] and not len(data.rows(split))]
    splits, notes = _with_shares(dataset, part, {split: shares[split] for split in missing})
    kept, copies = copies_across_splits(dataset.manifest.with_splits(splits.tolist()))
    selected = replace(
        data,
        images=data.images.select(kept),
        ids=tuple(data.ids[row] for row in kept),
        paths=tuple(data.paths[row] for row in kept),
        splits=splits[kept],
        truth=tuple(data.truth[row] for row in kept),
    )
    return replace(selected, problems=(*data.problems, *notes, *copies))


def _with_shares(
    dataset: Dataset, part: Voc, shares: Mapping[str, float]
) -> tuple[np.ndarray, list[Problem]]:
    """The split of each image, (N,) text, with shares of the training images split off."""
    manifest = dataset.manifest
    splits = manifest.column("split").astype("<U10")
    groups, notes = manifest.column("id").astype(str), []
    if shares and part.near_copies == "together":
        groups, notes = keep_together(groups, dataset)
    for split, share in shares.items():
        train = np.flatnonzero(splits == "train")
        if not len(train):
            break
        chosen = choose_stratified(
            groups[train], manifest.labels[train], share, seed=part.seed, name=split
        )
        splits[train[chosen]] = split
    return splits, notes


def _empty_problems(data: BoxData) -> list[Problem]:
    """Problems with classes and splits that have no objects or images."""
    problems = [
        Problem("empty_class", name, "no object in the training images; the class is kept")
        for name, count in data.counts("train").items()
        if count == 0
    ]
    if not len(data.rows("validation")):
        text = "no validation image; training is not evaluated"
        problems.append(Problem("empty_split", "validation", text))
    return problems


def _first(problems: Sequence[Problem]) -> str:
    if not problems:
        return _LAYOUT
    first = problems[0]
    return f"{len(problems)} problems, the first: {first.kind}: {first.where}: {first.what}"
