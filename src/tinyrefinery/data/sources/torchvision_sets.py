"""Well-known datasets, through torchvision's loaders.

The loaders also verify checksums. Where they list image files, only their paths are used, and this
package decodes the images.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
from torchvision import datasets as tv

from tinyrefinery.data.blobs import FileBlobs
from tinyrefinery.data.dataset import Dataset, Problem
from tinyrefinery.data.listing import Listing, assemble
from tinyrefinery.data.stamp import file_stamps
from tinyrefinery.errors import DataError
from tinyrefinery.options.sources import Torchvision


@dataclass(frozen=True)
class _Part:
    """One split from a loader."""

    pixels: np.ndarray | list[str]
    """uint8 (N, H, W, C), or paths."""
    labels: Sequence[int]
    classes: tuple[str, ...]
    extras: dict[str, list[Any]]
    problems: tuple[Problem, ...] = ()


def open_torchvision(part: Torchvision) -> Dataset:
    """Open CIFAR-10, CIFAR-100, SVHN, Food-101, ImageNet or Pascal VOC.

    Their held-out part (`val` of ImageNet and of VOC 2008 to 2012, else `test`) is the test split.
    Validation is split off from training.

    VOC is a detection set. Here the class of an image is that of its box with the largest area. The
    column `objects` has all boxes as JSON: name, box as [xmin, ymin, xmax, ymax] in pixels counted
    from 1, difficult. Images without a box of positive area are left out.

    Raises:
        DataError: if files are missing or damaged. Lists the files to download and their folder.
    """
    name, root = part.name, Path(part.root).expanduser()
    loader, year = LOADERS[name], part.year or "2012"
    parts: dict[str, _Part] = {}
    for split in ("train", "test"):
        try:
            parts[split] = loader.read(str(root), split == "train", part.download, year)
        except DataError:
            raise
        except Exception as error:  # the loaders raise RuntimeError, OSError, EOFError, pickle's...
            raise DataError(_advice(name, root, loader, part.download, error)) from error
    return assemble(_listing(name, root, parts), part)


def _listing(name: str, root: Path, parts: dict[str, _Part]) -> Listing:
    train = parts["train"]
    paths: list[str] = []
    arrays: list[np.ndarray] = []
    for split, part in parts.items():
        if isinstance(part.pixels, np.ndarray):
            arrays.append(part.pixels)
            paths += [f"{root}, {split}, image {i}" for i in range(len(part.labels))]
        else:
            paths += part.pixels
    columns = {
        key: [v for part in parts.values() for v in part.extras[key]] for key in train.extras
    }
    return Listing(
        f"{name} in {root}",
        train.classes,
        np.concatenate([np.asarray(part.labels, np.int64) for part in parts.values()]),
        [split for split, part in parts.items() for _ in part.labels],
        paths,
        np.concatenate(arrays) if arrays else FileBlobs(paths),
        extras=pa.table(columns) if columns else None,
        stamps=None if arrays else file_stamps(paths),
        problems=tuple(problem for part in parts.values() for problem in part.problems),
    )


def _cifar10(root: str, train: bool, download: bool, year: str) -> _Part:
    data = tv.CIFAR10(root, train, download=download)
    return _Part(data.data, data.targets, tuple(data.classes), {})


def _cifar100(root: str, train: bool, download: bool, year: str) -> _Part:
    data = tv.CIFAR100(root, train, download=download)
    return _Part(data.data, data.targets, tuple(data.classes), {})


def _svhn(root: str, train: bool, download: bool, year: str) -> _Part:
    data = tv.SVHN(root, "train" if train else "test", download=download)
    return _Part(data.data.transpose(0, 2, 3, 1), data.labels, tuple("0123456789"), {})


def _food101(root: str, train: bool, download: bool, year: str) -> _Part:
    data = tv.Food101(root, "train" if train else "test", download=download)
    return _Part([str(path) for path in data._image_files], data._labels, tuple(data.classes), {})


def _imagenet(root: str, train: bool, download: bool, year: str) -> _Part:
    data = tv.ImageNet(root, "train" if train else "val")
    wnids = data.wnids
    # Use the first name of each class. Two classes are named "crane" and two "maillot".
    names = [synonyms[0] for synonyms in data.classes]
    counts = Counter(names)
    classes = tuple(
        f"{name} ({wnid})" if counts[name] > 1 else name
        for name, wnid in zip(names, wnids, strict=True)
    )
    labels = [label for _, label in data.samples]
    extras = {"wnid": [wnids[label] for label in labels]}
    return _Part([path for path, _ in data.samples], labels, classes, extras)


VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
"""The 20 classes of Pascal VOC since 2007."""


def _voc(root: str, train: bool, download: bool, year: str) -> _Part:
    # VOC 2007 has annotated test images. Those of later years were never published.
    image_set = ("trainval" if train else "test") if year == "2007" else "train" if train else "val"
    data = tv.VOCDetection(root, year, image_set, download=download)
    paths: list[str] = []
    labels: list[int] = []
    objects_column: list[str] = []
    problems: list[Problem] = []
    for path, annotation in zip(data.images, data.annotations, strict=True):
        objects = _objects(annotation)
        areas = [_area(obj["box"]) for obj in objects]
        if not any(areas):
            problems.append(Problem("missing_label", path, "no box with an area; left out"))
            continue
        largest = objects[areas.index(max(areas))]["name"]
        if largest not in VOC_CLASSES:
            raise DataError(f"{annotation}: '{largest}' is not one of Pascal VOC's 20 classes")
        paths.append(path)
        labels.append(VOC_CLASSES.index(largest))
        objects_column.append(json.dumps(objects))
    return _Part(paths, labels, VOC_CLASSES, {"objects": objects_column}, tuple(problems))


def _objects(annotation: str) -> list[dict[str, Any]]:
    try:
        elements = ElementTree.parse(annotation).getroot().findall("object")
        return [
            {
                "name": element.findtext("name", "").strip(),
                "box": [float(element.findtext(f"bndbox/{side}", "nan")) for side in _SIDES],
                "difficult": element.findtext("difficult", "0").strip() == "1",
            }
            for element in elements
        ]
    except (ElementTree.ParseError, OSError, ValueError) as error:
        raise DataError(f"{annotation}: not a Pascal VOC annotation ({error})") from error


_SIDES = ("xmin", "ymin", "xmax", "ymax")


def _area(box: list[float]) -> float:
    width, height = box[2] - box[0], box[3] - box[1]
    return width * height if width > 0 and height > 0 else 0.0


@dataclass(frozen=True)
class Loader:
    """How to read a set, and which files to download if they are missing."""

    read: Callable[[str, bool, bool, str], _Part]
    files: str
    """The files to download."""
    place: str
    """The contents of `root` afterwards."""
    downloads: bool = True


LOADERS: dict[str, Loader] = {
    "cifar10": Loader(
        _cifar10,
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz, and unpack it",
        "cifar-10-batches-py/",
    ),
    "cifar100": Loader(
        _cifar100,
        "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz, and unpack it",
        "cifar-100-python/",
    ),
    "svhn": Loader(
        _svhn,
        "http://ufldl.stanford.edu/housenumbers/train_32x32.mat and .../test_32x32.mat",
        "train_32x32.mat and test_32x32.mat",
    ),
    "food101": Loader(
        _food101,
        "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz, and unpack it",
        "food-101/images/ and food-101/meta/",
    ),
    "imagenet": Loader(
        _imagenet,
        "ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz "
        "from https://image-net.org (free after registration)",
        "these three files; they are unpacked on first use",
        downloads=False,
    ),
    "voc": Loader(
        _voc,
        "VOCtrainval of the year (and VOCtest_06-Nov-2007.tar for 2007) from "
        "http://host.robots.ox.ac.uk/pascal/VOC, and unpack it",
        "VOCdevkit/VOC2012/ (or of the other year; VOC2011 is in TrainVal/VOCdevkit/)",
    ),
}
"""Dataset name -> loader."""


def _advice(name: str, root: Path, loader: Loader, download: bool, error: Exception) -> str:
    reason = " ".join(str(error).split()) or type(error).__name__
    if loader.downloads and not download:
        automatic = " Or set download: true."
    elif loader.downloads:
        automatic = " The automatic download failed."
    else:
        automatic = ""
    return (
        f"{name}: files are missing or damaged in {root} ({reason}). Download {loader.files}. "
        f"{root} must then contain {loader.place}.{automatic}"
    )
