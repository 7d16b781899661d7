"""Images and boxes in Pascal VOC's layout, in a folder or a zip.

    ROOT/JPEGImages/NAME.jpg     (or another kind of image)
    ROOT/Annotations/NAME.xml
    ROOT/ImageSets/Main/train.txt, val.txt, test.txt: a NAME a line; may be missing

Nothing that is wrong with single files stops the opening; each is told with what was done about it.
Kinds of problem: `broken_annotation`, `missing_image`, `missing_annotation`, `listed_twice`,
`broken_image`, `missing_size`, `resized_image`, `turned_image`, `other_size`, `unreadable_object`,
`inverted_box`, `zero_area`, `outside`, `clipped`, `unknown_class`, `no_objects`,
`duplicate_across_splits`, `empty_class`, `empty_split`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa

from tinyrefinery.data.check import copies_across_splits, raise_problems
from tinyrefinery.data.dataset import Problem
from tinyrefinery.data.decode import jpeg_orientation
from tinyrefinery.data.examine import examine
from tinyrefinery.data.images import EncodedImages
from tinyrefinery.data.manifest import SPLITS, Manifest
from tinyrefinery.data.sources.folder import ENDINGS
from tinyrefinery.data.splits import SPLIT_WORDS, choose_stratified
from tinyrefinery.detection.boxes import BoxData, Given
from tinyrefinery.detection.container import Container, open_container
from tinyrefinery.detection.voc_xml import Annotation, lies_on_its_side, parse, placed
from tinyrefinery.errors import DataError
from tinyrefinery.names import did_you_mean

_LAYOUT = "Expected JPEGImages/*.jpg, Annotations/*.xml and, if there are splits, ImageSets/Main"


@dataclass(frozen=True)
class _Entry:
    """An annotated image before it was looked at."""

    name: str
    image: str
    split: str
    annotation: Annotation
    xml: str


def open_voc(
    root: str | Path,
    *,
    classes: Sequence[str] | None = None,
    splits: Mapping[str, str] | None = None,
    validation: float = 0.15,
    test: float = 0.0,
    seed: int = 0,
    strict: bool = False,
    measured: bool = False,
) -> BoxData:
    """Open a data set.

    Args:
        root: the folder or zip.
        classes: names in their order; objects of others are left out. None: all, by name.
        splits: our splits' names to lists of ImageSets/Main; None: by name.
        validation: share of the training images that validate, where no list says so.
        test: share of the training images that test, where no list says so.
        seed: of these shares.
        strict: raise on any problem but images without objects.
        measured: a trained detector is to be measured on it: without lists all images are for
            test, no shares are held out, and neither training images nor objects of each class
            need to be there.

    Raises:
        DataError: when there is nothing to train on, a named list is missing, or `strict` found a
            problem.
    """
    files = open_container(root)
    name = Path(root).stem
    base = _base(files, root)
    entries, problems = _entries(files, base, splits, root, measured=measured)
    if not entries:
        raise DataError(f"{root}: no annotated image. {_first(problems)}")
    data = _looked_at(name, files, entries, problems, classes, measured=measured)
    if not len(data):
        raise DataError(f"{root}: no usable image. {_first(data.problems)}")
    if measured:
        validation = test = 0.0
    data = _split_up(data, validation, test, seed)
    if not measured:
        data = replace(data, problems=(*data.problems, *_empty(data)))
    if strict:
        raise_problems(name, [p for p in data.problems if p.kind != "no_objects"])
    if not measured and not sum(data.counts("train").values()):
        raise DataError(
            f"{root}: no training image with an object is left. {_first(data.problems)}"
        )
    return data


def _base(files: Container, root: str | Path) -> str:
    """The folder that holds Annotations, with a slash at its end where it isn't the root itself."""
    tops = {
        name.rpartition("Annotations/")[0]
        for name in files.names
        if name.lower().endswith(".xml") and PurePosixPath(name).parent.name == "Annotations"
    }
    if not tops:
        raise DataError(f"{root}: no Annotations/*.xml. {_LAYOUT}")
    least = min(top.count("/") for top in tops)
    nearest_tops = sorted(top for top in tops if top.count("/") == least)
    if len(nearest_tops) > 1:
        raise DataError(
            f"{root}: holds several data sets ({', '.join(nearest_tops)}); "
            "name one of these folders"
        )
    return nearest_tops[0]


def _entries(
    files: Container,
    base: str,
    splits: Mapping[str, str] | None,
    root: str | Path,
    *,
    measured: bool,
) -> tuple[list[_Entry], list[Problem]]:
    """Annotations with their images and splits, and what is missing."""
    images = _by_stem(files, f"{base}JPEGImages/", ENDINGS)
    xmls = _by_stem(files, f"{base}Annotations/", {".xml"})
    lists = _by_stem(files, f"{base}ImageSets/Main/", {".txt"})
    chosen = _chosen(lists, splits, root, measured=measured)
    if chosen:
        listed, problems = _listed(files, chosen, {*xmls, *images})
    else:
        listed, problems = dict.fromkeys(sorted(xmls), "test" if measured else "train"), []
    entries = []
    for name, split in listed.items():
        if name not in xmls:
            what = "no annotation" if name in images else "neither image nor annotation"
            text = f"listed for {split}, but there is {what}; left out"
            problems.append(Problem("missing_annotation", name, text))
            continue
        try:
            annotation = parse(files.read(xmls[name]))
        except (DataError, OSError) as error:
            problems.append(Problem("broken_annotation", xmls[name], f"{error}; left out"))
            continue
        image = images.get(name) or images.get(PurePosixPath(annotation.filename).stem)
        if image is None:
            text = f"there is no image of this name in {base}JPEGImages; left out"
            problems.append(Problem("missing_image", xmls[name], text))
            continue
        entries.append(_Entry(name, image, split, annotation, xmls[name]))
    if not chosen:
        problems += _unannotated(images, xmls, {entry.image for entry in entries})
    return entries, problems


def _unannotated(
    images: Mapping[str, str], xmls: Collection[str], used: Collection[str]
) -> list[Problem]:
    """Images of a data set without lists that no annotation is of."""
    text = "there is no annotation; left out. Where nothing is to be found, write one without"
    return [
        Problem("missing_annotation", image, f"{text} objects")
        for name, image in sorted(images.items())
        if name not in xmls and image not in used
    ]


def _by_stem(files: Container, folder: str, endings: set[str] | frozenset[str]) -> dict[str, str]:
    """The files of a folder by their names without ending; the first of several."""
    found: dict[str, str] = {}
    for name in files.names:
        path = PurePosixPath(name)
        if name.startswith(folder) and path.suffix.lower() in endings:
            found.setdefault(name[len(folder) : len(name) - len(path.suffix)], name)
    return found


def _chosen(
    lists: Mapping[str, str], splits: Mapping[str, str] | None, root: str | Path, *, measured: bool
) -> dict[str, str]:
    """The file of each split; empty where the data set has no lists."""
    if splits is not None:
        for split, name in splits.items():
            if name not in lists:
                known = ", ".join(sorted(lists)) or "none"
                raise DataError(
                    f"{root}: splits.{split}: no list '{name}' in ImageSets/Main."
                    f"{did_you_mean(name, lists)} Known: {known}."
                )
        return {split: lists[name] for split, name in splits.items()}
    chosen = {SPLIT_WORDS[name]: file for name, file in lists.items() if name in SPLIT_WORDS}
    if "train" not in chosen and "trainval" in lists:
        chosen["train"] = lists["trainval"]
    if lists and not (chosen if measured else "train" in chosen):
        raise DataError(
            f"{root}: ImageSets/Main has no train.txt; name a list with data.source.splits, e.g. "
            f"{{train: {min(lists)}}}"
        )
    return chosen


def _listed(
    files: Container, chosen: Mapping[str, str], known: Collection[str]
) -> tuple[dict[str, str], list[Problem]]:
    """The split of each name; a name in two lists goes to test before validation before train.

    Args:
        files: that hold the lists.
        chosen: the list of each split.
        known: names of images and annotations.
    """
    found: dict[str, str] = {}
    problems = []
    for split in reversed(SPLITS):
        if split not in chosen:
            continue
        lines = files.read(chosen[split]).decode("utf-8-sig", "replace").splitlines()
        for name in dict.fromkeys(_name(line.strip(), known) for line in lines if line.strip()):
            if name in found:
                text = f"also listed for {found[name]}; left out of {split}"
                problems.append(Problem("listed_twice", name, text))
            else:
                found[name] = split
    return dict(sorted(found.items())), problems


def _name(line: str, known: Collection[str]) -> str:
    """The image that a line of a list means: a name, with spaces or an ending, perhaps a mark."""
    first = line.split()[0]
    for said in (line, line.rpartition(" ")[0].strip(), first):  # "NAME 1", as in lists of classes
        for name in (said, PurePosixPath(said).stem):
            if name in known:
                return name
    return first


def _looked_at(
    name: str,
    files: Container,
    entries: Sequence[_Entry],
    problems: Sequence[Problem],
    classes: Sequence[str] | None,
    *,
    measured: bool,
) -> BoxData:
    """Decode every image once, and place its boxes in it."""
    names = [entry.image for entry in entries]
    blobs = files.blobs(names)
    stamps = [files.stamp(each) for each in names]
    found, _ = examine(blobs, channels=3, home=name, stamps=stamps, resident_bytes=0)
    problems = list(problems)
    kept, objects = [], []
    for row, entry in enumerate(entries):
        if found.reasons[row]:
            text = f"{found.reasons[row]}; left out"
            problems.append(Problem("broken_image", entry.image, text))
            continue
        sides = int(found.sizes[row][0]), int(found.sizes[row][1])
        turned = lies_on_its_side(entry.annotation, *sides)
        orientation = jpeg_orientation(blobs[row]) if turned else 1
        sound, faults = placed(entry.annotation, *sides, orientation)
        problems += [Problem(kind, entry.xml, what) for kind, what in faults]
        kept.append(row)
        objects.append(sound)
    known = tuple(classes) if classes and measured else _class_names(objects, classes)
    given = []
    for row, sound in zip(kept, objects, strict=True):
        one, strange = _given(sound, known)
        problems += [Problem("unknown_class", entries[row].xml, text) for text in strange]
        if not len(one):
            text = "no object; kept, as it shows what is background"
            problems.append(Problem("no_objects", entries[row].xml, text))
        given.append(one)
    rows = np.array(kept, np.int64)
    return BoxData(
        name=name,
        classes=known,
        images=EncodedImages(blobs, found.sizes[rows], 3, rows),
        ids=tuple(found.ids[row] for row in kept),
        paths=tuple(entries[row].image for row in kept),
        splits=np.array([entries[row].split for row in kept], dtype=str),
        given=tuple(given),
        problems=tuple(problems),
    )


def _class_names(
    objects: Sequence[Sequence[tuple[str, np.ndarray, bool]]], classes: Sequence[str] | None
) -> tuple[str, ...]:
    names = sorted({name for sound in objects for name, _, _ in sound})
    if classes is None:
        return tuple(names)
    for name in classes:
        if name not in names:
            raise DataError(
                f"data.source.classes: no object is a '{name}'.{did_you_mean(name, names)} "
                f"There are: {', '.join(names)}."
            )
    return tuple(classes)


def _given(
    sound: Sequence[tuple[str, np.ndarray, bool]], classes: Sequence[str]
) -> tuple[Given, list[str]]:
    own = [each for each in sound if each[0] in classes]
    strange = [
        f"'{name}' is not among the classes; left out"
        for name, _, _ in sound
        if name not in classes
    ]
    if not own:
        return Given.nothing(), strange
    labels = np.array([classes.index(name) for name, _, _ in own], np.int64)
    boxes = np.stack([box for _, box, _ in own]).astype(np.float32)
    return Given(boxes, labels, np.array([hard for _, _, hard in own], bool)), strange


def _split_up(data: BoxData, validation: float, test: float, seed: int) -> BoxData:
    """Shares carved where there are no lists; copies kept in one split."""
    splits, problems = data.splits.astype("<U10"), data.problems
    none = np.zeros(len(data), np.int64)
    for split, share in (("test", test), ("validation", validation)):
        train = np.flatnonzero(splits == "train")
        if share and not (splits == split).any() and len(train):
            ids = np.array(data.ids)[train]
            splits[train[choose_stratified(ids, none[train], share, seed=seed, name=split)]] = split
    table = pa.table(
        {
            "id": list(data.ids),
            "path": list(data.paths),
            "label": pa.array(none, pa.int64()),
            "split": pa.array(splits.tolist(), pa.string()),
        }
    )
    kept, copies = copies_across_splits(Manifest(table, data.classes or ("",)))
    chosen = replace(
        data,
        images=data.images.select(kept),
        ids=tuple(data.ids[row] for row in kept),
        paths=tuple(data.paths[row] for row in kept),
        splits=splits[kept],
        given=tuple(data.given[row] for row in kept),
    )
    return replace(chosen, problems=(*problems, *copies))


def _empty(data: BoxData) -> list[Problem]:
    problems = [
        Problem("empty_class", name, "no object in the training images; still a class")
        for name, count in data.counts("train").items()
        if count == 0
    ]
    if not len(data.rows("validation")):
        text = "no validation image; training can't be looked at while it lasts"
        problems.append(Problem("empty_split", "validation", text))
    return problems


def _first(problems: Sequence[Problem]) -> str:
    if not problems:
        return _LAYOUT
    one = problems[0]
    return f"{len(problems)} problems, the first: {one.kind}: {one.where}: {one.what}"
