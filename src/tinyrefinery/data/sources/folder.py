"""Folders of images: one folder per class, or a metadata file."""

import csv
import json
import os
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from tinyrefinery.data.blobs import FileBlobs
from tinyrefinery.data.class_names import number_labels
from tinyrefinery.data.dataset import Dataset, Problem
from tinyrefinery.data.listing import Listing, assemble
from tinyrefinery.data.manifest import SPLITS
from tinyrefinery.data.sources.parquet import require_column
from tinyrefinery.data.splits import SPLIT_WORDS, split_named
from tinyrefinery.data.stamp import file_stamp
from tinyrefinery.errors import DataError
from tinyrefinery.options.sources import Folder, Opened

ENDINGS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm"}
)
"""File name extensions of images, in lower case."""

_NO_UTF8 = "names that are not UTF-8"
_METADATA = ("metadata.csv", "metadata.jsonl")
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
    root = Path(part.root).expanduser()
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "no such folder"
        raise DataError(f"{root}: {what}. {_LAYOUTS}")
    tops = _split_folders(root)
    if any((top / name).exists() for top in tops for name in _METADATA):
        listing = _from_metadata(root, tops, part.label)
    else:
        listing = _from_class_folders(root, tops)
    return assemble(listing, part)


def _split_folders(root: Path) -> dict[Path, str]:
    """Folders with classes or metadata -> their splits: one per split, or the root only."""
    if any((root / name).exists() for name in _METADATA):
        return {root: "train"}
    splits = {path: SPLIT_WORDS[path.name.lower()] for path in _folders(root) if _is_split(path)}
    if "train" not in splits.values():
        return {root: "train"}
    if len(set(splits.values())) < len(splits):
        names = ", ".join(path.name for path in splits)
        raise DataError(f"{root}: two folders of {names} are the same split: merge or rename them")
    return dict(sorted(splits.items(), key=lambda item: SPLITS.index(item[1])))


def _is_split(path: Path) -> bool:
    return path.name.lower() in SPLIT_WORDS


def _folders(path: Path) -> list[Path]:
    return sorted(child for child in path.iterdir() if child.is_dir() and child.name[0] != ".")


def _walk(top: Path, others: Counter[str]) -> Iterator[str]:
    """Paths of the images below a folder, sorted; counts other files by extension in `others`."""
    for folder, subfolders, names in os.walk(top, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if name[0] != ".")
        for name in sorted(names):
            ending = os.path.splitext(name)[1].lower()
            if name[0] == ".":
                continue
            if not _is_text(os.path.join(folder, name)):
                others[_NO_UTF8] += 1
                continue
            if ending not in ENDINGS:
                others[ending or "no extension"] += 1
                continue
            yield os.path.join(folder, name)


def image_files(top: Path) -> tuple[list[str], Counter[str]]:
    """Paths of all images below a folder, sorted, and the number of other files by extension."""
    others: Counter[str] = Counter()
    return list(_walk(top, others)), others


def _is_text(path: str) -> bool:
    """Whether a path is valid Unicode: on Linux a name may be any bytes."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def open_unlabeled(root: str | Path, channels: Literal[1, 3]) -> Dataset:
    """Open all images below a folder at any depth, as a single class `unlabeled`.

    Args:
        root: the folder.
        channels: 3 for RGB, 1 for gray.

    Raises:
        DataError: if there is no image, and as `assemble`.
    """
    root = Path(root).expanduser()
    paths = list(_walk(root, Counter())) if root.is_dir() else []
    if not paths:
        raise DataError(f"{root}: no folder with images in it")
    numbers = pa.chunked_array([pa.array([0] * len(paths))])
    names = ["unlabeled", "labeled"]  # datasets need at least two classes
    splits = ["train"] * len(paths)
    listing = _listing(root, paths, numbers, splits, names=names, problems=[])
    return assemble(listing, Opened(channels=channels, validation=0, resident="never"))


def _from_class_folders(root: Path, tops: dict[Path, str]) -> Listing:
    others: Counter[str] = Counter()
    names = sorted({folder.name for top in tops for folder in _folders(top)})
    images: list[tuple[str, int, str]] = []
    for top, split in tops.items():
        for folder in _folders(top):
            number = names.index(folder.name)
            images += [(path, number, split) for path in _walk(folder, others)]
    if not images:
        raise DataError(f"{root}: no image found{_endings(others)}. {_LAYOUTS}")
    if len(names) == 1 and tops == {root: "train"}:
        raise DataError(f"{root}: there is one class folder only ({names[0]}). {_LAYOUTS}")
    return _listing(
        root,
        [path for path, _, _ in images],
        pa.chunked_array([pa.array([number for _, number, _ in images])]),
        [split for _, _, split in images],
        names=names,
        problems=_ignored(root, others),
    )


def _from_metadata(root: Path, tops: dict[Path, str], label: str) -> Listing:
    tables: list[pa.Table] = []
    paths: list[str] = []
    splits: list[str] = []
    for top, split in tops.items():
        file = next((top / name for name in _METADATA if (top / name).exists()), None)
        if file is None:
            raise DataError(f"{top}: no metadata.csv or metadata.jsonl, but another split has one")
        table = _read_metadata(file)
        for column in ("file_name", label):
            require_column(table.schema, column, str(file))
        names = [str(name) for name in table.column("file_name").to_pylist()]
        paths += [os.path.join(top, name) for name in names]
        splits += _row_splits(table, names, split, str(file))
        tables.append(table)
    table = pa.concat_tables(tables, promote_options="permissive")
    listed = {os.path.normpath(path) for path in paths}
    unlisted = [
        Problem("unlisted_image", path, "not in the metadata file; left out")
        for top in tops
        for path in _walk(top, Counter())
        if os.path.normpath(path) not in listed
    ]
    extras = [name for name in table.column_names if name not in ("file_name", label, "split")]
    return _listing(
        root, paths, table.column(label), splits, problems=unlisted, extras=table.select(extras)
    )


def _row_splits(table: pa.Table, names: list[str], default: str, where: str) -> list[str]:
    """Splits from a column `split`, or from the first folder in the file name, or the default."""
    if "split" in table.column_names:
        return [split_named(str(word), where) for word in table.column("split").to_pylist()]
    tops = [Path(name).parts[0].lower() if name else "" for name in names]
    return [SPLIT_WORDS.get(top, default) for top in tops]


def _read_metadata(file: Path) -> pa.Table:
    try:
        text = file.read_bytes().decode("utf-8-sig")  # keeps line ends: csv interprets them
        if file.suffix == ".csv":
            rows: list[dict[str, Any]] = list(csv.DictReader(StringIO(text), strict=True))
        else:
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        if number := next((n for n, row in enumerate(rows, 1) if None in row), None):
            raise ValueError(f"entry {number} has more fields than the header")
        names = dict.fromkeys(name for row in rows for name in row)
        table = pa.table({name: [row.get(name) for row in rows] for name in names})
    except (OSError, ValueError, csv.Error, pa.ArrowException, AttributeError) as error:
        raise DataError(f"{file}: can't be read as {file.suffix[1:].upper()} ({error})") from error
    if not table.num_rows:
        raise DataError(f"{file}: lists no images")
    return table


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
        stamps=[file_stamp(path) for path in paths],
        problems=tuple(problems),
    )


def _endings(others: Counter[str]) -> str:
    if not others:
        return ""
    kinds = ", ".join(f"{count} {ending}" for ending, count in others.most_common(4))
    return f" (ignored: {kinds})"


def _ignored(root: Path, others: Counter[str]) -> list[Problem]:
    problems = []
    if count := others.pop(_NO_UTF8, 0):
        noun = "file whose name is" if count == 1 else "files whose names are"
        what = f"{count} {noun} not UTF-8; rename them"
        problems.append(Problem("ignored_files", str(root), what))
    if count := others.total():
        noun = "file with another extension" if count == 1 else "files with other extensions"
        what = f"{count} {noun}{_endings(others)}"
        problems.append(Problem("ignored_files", str(root), what))
    return problems
