"""Folders of images: one folder per class, or a metadata file."""

import logging
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from tinyrefinery.data.blobs import FileBlobs
from tinyrefinery.data.class_names import number_labels
from tinyrefinery.data.dataset import Dataset, Problem
from tinyrefinery.data.listing import Listing, assemble
from tinyrefinery.data.manifest import SPLITS
from tinyrefinery.data.sources.found_pictures import (
    Ignored,
    image_files,
    images_below,
    is_text,
    list_endings,
    list_problems,
    metadata_file,
    pictures_in,
    unread_metadata,
)
from tinyrefinery.data.sources.metadata import read_metadata
from tinyrefinery.data.sources.parquet import require_column
from tinyrefinery.data.splits import SPLIT_WORDS, split_named
from tinyrefinery.data.stamp import file_stamps
from tinyrefinery.data.walk import is_passed_over
from tinyrefinery.errors import DataError
from tinyrefinery.options.sources import Folder, Opened

log = logging.getLogger("tinyrefinery")

_LAYOUTS = (
    "Expected ROOT/CLASS/*.jpg, or ROOT/{train,validation,test}/CLASS/*.jpg, or images with a "
    "metadata.csv (or metadata.jsonl) with the columns file_name and label"
)


def open_folder(part: Folder) -> Dataset:
    """Open a folder of images.

    Layouts: `ROOT/CLASS/**/*.jpg`; the same below `ROOT/train`, `ROOT/val` (or valid, validation,
    dev) and `ROOT/test`; or Hugging Face's ImageFolder, with `metadata.csv` or `metadata.jsonl` in
    ROOT or in each split's folder. Metadata needs the columns `file_name` and `label`. A column
    `split`, or the first folder in `file_name`, sets the split. Other columns go into the manifest.
    Classes are in alphabetical order, as in torchvision. Hidden files are ignored.

    Raises:
        DataError: if there is no image in any of the layouts, and as `assemble`.
    """
    if not part.root.strip():
        raise DataError("root: is empty. Give the folder of pictures, or . for this one")
    root = Path(part.root).expanduser()
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "no such folder"
        raise DataError(f"{root}: {what}. {_LAYOUTS}")
    tops = _split_folders(root)
    files = {top: metadata_file(top) for top in tops}
    if any(files.values()):
        listing = _from_metadata(root, tops, files, part.label)
    else:
        listing = _from_class_folders(root, tops)
    return assemble(listing, part)


def _split_folders(root: Path) -> dict[Path, str]:
    """Folders with classes or metadata -> their splits: one per split, or the root only."""
    if metadata_file(root):
        return {root: "train"}
    folders = _folders(root)
    splits = {path: SPLIT_WORDS[path.name.lower()] for path in folders if _is_split(path)}
    if "train" not in splits.values():
        if splits and len(splits) == len(folders):
            names = ", ".join(path.name for path in splits)
            raise DataError(
                f"{root}: no training split: there are {names}. Name the folder of the training "
                "images 'train'"
            )
        return {root: "train"}
    if len(set(splits.values())) < len(splits):
        names = ", ".join(path.name for path in splits)
        raise DataError(f"{root}: two folders of {names} are the same split: merge or rename them")
    if len(splits) == 1 and len(folders) > 1:
        (train,) = splits
        if not _folders(train) and metadata_file(train) is None:
            return {root: "train"}  # pictures of a class named "train"
        _refuse_ambiguous(root, train, folders)
    return dict(sorted(splits.items(), key=lambda item: SPLITS.index(item[1])))


def _refuse_ambiguous(root: Path, train: Path, folders: Sequence[Path]) -> None:
    """Raise an error where `train` may be a split or a class beside others."""
    if not _folders(train):
        return
    others = [folder for folder in folders if folder != train]
    if with_pictures := [top.name for top, paths in images_below(others, root).items() if paths]:
        raise DataError(
            f"{root}: '{train.name}' may be the training split or a class, since there are "
            f"pictures in {', '.join(with_pictures[:4])} beside it. If it is a class, rename the "
            "folder. If it is the split, move the others away or into it"
        )


def _refuse_almost_splits(root: Path, names: Sequence[str]) -> None:
    """Raise an error where all classes are called like splits, e.g. `train_set` and `test_set`."""
    words = [
        {SPLIT_WORDS[word] for word in re.split(r"[\W_\d]+", name.lower()) if word in SPLIT_WORDS}
        for name in names
    ]
    if all(len(splits) == 1 for splits in words) and {"train"} in words and {"test"} in words:
        raise DataError(
            f"{root}: the class folders are called {', '.join(names[:4])}, like splits. Rename "
            "them to train, validation and test, each with one folder per class"
        )


def _is_split(path: Path) -> bool:
    return path.name.lower() in SPLIT_WORDS


def _folders(path: Path) -> list[Path]:
    """Folders in a folder, in order of their names, which must be Unicode."""
    children = [child for child in path.iterdir() if not is_passed_over(child.name)]
    return sorted(child for child in children if is_text(child.name) and child.is_dir())


def open_unlabeled(root: str | Path, channels: Literal[1, 3]) -> Dataset:
    """Open all images below a folder at any depth, as a single class `unlabeled`.

    Args:
        root: the folder.
        channels: 3 for RGB, 1 for gray.

    Raises:
        DataError: if there is no image, and as `assemble`.
    """
    root = Path(root).expanduser()
    paths, problems = image_files(root) if root.is_dir() else ([], [])
    if not paths:
        raise DataError(f"{root}: no folder with images in it")
    numbers = pa.chunked_array([pa.array([0] * len(paths))])
    names = ["unlabeled", "labeled"]  # datasets need at least two classes
    splits = ["train"] * len(paths)
    listing = _listing(root, paths, numbers, splits, names=names, problems=problems)
    return assemble(listing, Opened(channels=channels, validation=0, resident="never"))


def _from_class_folders(root: Path, tops: dict[Path, str]) -> Listing:
    ignored = Ignored()
    by_class = {folder: split for top, split in tops.items() for folder in _folders(top)}
    names = sorted({folder.name for folder in by_class})
    numbers = {name: number for number, name in enumerate(names)}
    found = images_below(list(by_class), root, ignored)
    images = [path for paths in found.values() for path in paths]
    if not images:
        outside = len(_strays(root, tops, Ignored()))
        where = f" in a folder of a class, but {outside:,} in none" if outside else ""
        raise DataError(f"{root}: no image found{where}{list_endings(ignored.others)}. {_LAYOUTS}")
    if len(names) == 1 and tops == {root: "train"}:
        raise DataError(f"{root}: there is one class folder only ({names[0]}). {_LAYOUTS}")
    _refuse_almost_splits(root, names)
    counts = [len(paths) for paths in found.values()]
    classes = np.repeat([numbers[folder.name] for folder in found], counts)  # (N,)
    splits = [by_class[folder] for folder, n in zip(found, counts, strict=True) for _ in range(n)]
    return _listing(
        root,
        images,
        pa.chunked_array([pa.array(classes)]),
        splits,
        names=names,
        problems=[
            *_strays(root, tops, ignored),
            *unread_metadata(ignored),
            *list_problems(root, ignored),
        ],
    )


def _strays(root: Path, tops: dict[Path, str], ignored: Ignored) -> list[Problem]:
    """Pictures below the root that are in no class folder."""
    strays: list[str] = []
    for place in dict.fromkeys([root, *tops]):
        files = [entry.name for entry in os.scandir(place) if entry.is_file()]
        strays += pictures_in(str(place), sorted(files), ignored)
    if root not in tops:
        others = [folder for folder in _folders(root) if folder not in tops]
        for paths in images_below(others, root, ignored).values():
            strays += paths
    for place in dict.fromkeys([root, *tops]):
        for child in place.iterdir():
            if not (is_text(child.name) or is_passed_over(child.name)) and child.is_dir():
                images_below([child], root, ignored)  # counts every file in it
    what = "in no class folder; left out"
    return [Problem("stray_image", path, what) for path in strays]


def _from_metadata(
    root: Path, tops: dict[Path, str], files: dict[Path, Path | None], label: str
) -> Listing:
    tables: list[pa.Table] = []
    paths: list[str] = []
    splits: list[str] = []
    for top, split in tops.items():
        file = files[top]
        if file is None:
            raise DataError(f"{top}: no metadata.csv or metadata.jsonl, but another split has one")
        table = read_metadata(file)
        for column in ("file_name", label):
            require_column(table.schema, column, str(file))
        names = [_portable(str(name), top) for name in table.column("file_name").to_pylist()]
        paths += [os.path.join(top, name) for name in names]
        splits += _row_splits(table, names, split, str(file))
        tables.append(table)
    table = pa.concat_tables(tables, promote_options="permissive")
    listed = {os.path.normpath(path) for path in paths}
    ignored = Ignored()
    problems = [
        Problem("unlisted_image", path, "not in the metadata file; left out")
        for path in images_below([root], root.parent, ignored)[root]
        if os.path.normpath(path) not in listed
    ]
    problems += unread_metadata(ignored, set(map(str, files.values())))
    problems += list_problems(root, ignored)
    _note_outside(root, listed)
    extras = [name for name in table.column_names if name not in ("file_name", label, "split")]
    return _listing(
        root, paths, table.column(label), splits, problems=problems, extras=table.select(extras)
    )


def _portable(name: str, top: Path) -> str:
    r"""A file name as it is, or `cat/1.png` for `cat\1.png` of Windows where only that is there."""
    if "\\" not in name or os.path.exists(os.path.join(top, name)):
        return name
    return name.replace("\\", "/")


def _row_splits(table: pa.Table, names: list[str], default: str, where: str) -> list[str]:
    """Splits from a column `split`, or from the first folder in the file name, or the default."""
    if "split" in table.column_names:
        return [split_named(str(word), where) for word in table.column("split").to_pylist()]
    tops = [Path(name).parts[0].lower() if Path(name).parts else "" for name in names]
    return [SPLIT_WORDS.get(top, default) for top in tops]


def _listing(
    root: Path,
    paths: list[str],
    values: pa.ChunkedArray,
    splits: list[str],
    *,
    names: list[str] | None = None,
    extras: pa.Table | None = None,
    problems: list[Problem],
) -> Listing:
    labels, classes = number_labels(values, names, str(root))
    return Listing(
        str(root),
        classes,
        labels,
        splits,
        paths,
        FileBlobs(paths),
        extras=extras,
        stamps=file_stamps(paths),
        problems=tuple(problems),
    )


def _note_outside(root: Path, listed: Iterable[str]) -> None:
    """Log that a metadata file names pictures outside its folder."""
    home = os.path.normpath(root)
    outside = sorted(path for path in listed if not Path(path).is_relative_to(home))
    if outside:
        log.info(f"{root}: {len(outside):,} pictures lie outside this folder, first {outside[0]}")
