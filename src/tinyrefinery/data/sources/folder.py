"""Folders of pictures: a folder a class, or a metadata file beside the pictures."""

import csv
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Unpack

import pyarrow as pa

from tinyrefinery.data.blobs import FileBlobs
from tinyrefinery.data.class_names import number_labels
from tinyrefinery.data.dataset import Dataset, Problem
from tinyrefinery.data.listing import Listing, OpeningOptions, assemble
from tinyrefinery.data.manifest import SPLITS
from tinyrefinery.data.sources.parquet import require_column
from tinyrefinery.data.splits import SPLIT_WORDS, split_named
from tinyrefinery.errors import DataError

ENDINGS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm"}
)
"""File name endings, in lower case, that are taken for images."""

_NO_TEXT = "names that are no UTF-8"
_METADATA = ("metadata.csv", "metadata.jsonl")
_LAYOUTS = (
    "Expected ROOT/CLASS/*.jpg, or ROOT/{train,validation,test}/CLASS/*.jpg, or pictures with a "
    "metadata.csv (or metadata.jsonl) whose columns are file_name and label"
)


def open_folder(
    root: str | Path, *, label: str = "label", **options: Unpack[OpeningOptions]
) -> Dataset:
    """Open a folder of pictures.

    Layouts: `ROOT/CLASS/**/*.jpg`; the same below `ROOT/train`, `ROOT/val` (or valid, validation,
    dev) and `ROOT/test`; or Hugging Face's ImageFolder, with `metadata.csv` or `metadata.jsonl` in
    ROOT or in each split's folder. Its columns `file_name` and `label` are needed, others go into
    the manifest; a column `split`, or the first folder in `file_name`, tells the split. Classes are
    in the order of their characters, as torchvision's. Hidden files are passed over.

    Args:
        root: the folder.
        label: column of the metadata file that holds the class.
        **options: see `assemble`.

    Raises:
        DataError: when there is no image in any of the layouts, and as `assemble`.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "no such folder"
        raise DataError(f"{root}: {what}. {_LAYOUTS}")
    tops = _tops(root)
    if any((top / name).exists() for top in tops for name in _METADATA):
        listing = _from_metadata(root, tops, label)
    else:
        listing = _from_class_folders(root, tops)
    return assemble(listing, **options)


def _tops(root: Path) -> dict[Path, str]:
    """Folders that hold classes or metadata, with their splits: the root, or one a split."""
    if any((root / name).exists() for name in _METADATA):
        return {root: "train"}
    splits = {path: SPLIT_WORDS[path.name.lower()] for path in _folders(root) if _is_split(path)}
    if "train" not in splits.values():
        return {root: "train"}
    if len(set(splits.values())) < len(splits):
        names = ", ".join(path.name for path in splits)
        raise DataError(f"{root}: two folders for one split among {names}; merge or rename them")
    return dict(sorted(splits.items(), key=lambda item: SPLITS.index(item[1])))


def _is_split(path: Path) -> bool:
    return path.name.lower() in SPLIT_WORDS


def _folders(path: Path) -> list[Path]:
    return sorted(each for each in path.iterdir() if each.is_dir() and each.name[0] != ".")


@dataclass(frozen=True)
class _Found:
    """An image file, with what the file system says of it."""

    path: str
    stamp: str


def _walk(top: Path, others: Counter[str]) -> Iterator[_Found]:
    """Image files below a folder, sorted; counts the endings of other files in `others`."""
    for folder, inner, names in os.walk(top, followlinks=True):
        inner[:] = sorted(name for name in inner if name[0] != ".")
        for name in sorted(names):
            ending = os.path.splitext(name)[1].lower()
            if name[0] == ".":
                continue
            if not _is_text(os.path.join(folder, name)):
                others[_NO_TEXT] += 1
                continue
            if ending not in ENDINGS:
                others[ending or "no ending"] += 1
                continue
            yield _stamped(os.path.join(folder, name))


def _is_text(path: str) -> bool:
    """Whether a path can be written down: on Linux a name may be any bytes."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def open_unlabelled(root: str | Path, **options: Unpack[OpeningOptions]) -> Dataset:
    """Open all images below a folder, whatever folders they lie in, as of one class, `unlabelled`.

    Args:
        root: the folder.
        **options: see `assemble`.

    Raises:
        DataError: when there is no image, and as `assemble`.
    """
    root = Path(root).expanduser()
    found = list(_walk(root, Counter())) if root.is_dir() else []
    if not found:
        raise DataError(f"{root}: no folder with images in it")
    numbers = pa.chunked_array([pa.array([0] * len(found))])
    names = ["unlabelled", "labelled"]  # a data set has two classes at least
    splits = ["train"] * len(found)
    listing = _listing(root, found, numbers, splits, names=names, problems=[])
    return assemble(listing, **{"validation": 0.0, **options})


def _stamped(path: str) -> _Found:
    try:
        status = os.stat(path)
    except OSError:  # a dangling link: reading it will tell why
        return _Found(path, f"{path}\x1fmissing")
    return _Found(path, f"{os.path.abspath(path)}\x1f{status.st_size}\x1f{status.st_mtime_ns}")


def _from_class_folders(root: Path, tops: dict[Path, str]) -> Listing:
    others: Counter[str] = Counter()
    names = sorted({folder.name for top in tops for folder in _folders(top)})
    found: list[tuple[_Found, int, str]] = []
    for top, split in tops.items():
        for folder in _folders(top):
            number = names.index(folder.name)
            found += [(each, number, split) for each in _walk(folder, others)]
    if not found:
        raise DataError(f"{root}: no image found{_endings(others)}. {_LAYOUTS}")
    if len(names) == 1 and tops == {root: "train"}:
        raise DataError(f"{root}: there is one class folder only ({names[0]}). {_LAYOUTS}")
    files = [each for each, _, _ in found]
    return _listing(
        root,
        files,
        pa.chunked_array([pa.array([number for _, number, _ in found])]),
        [split for _, _, split in found],
        names=names,
        problems=_ignored(root, others),
    )


def _from_metadata(root: Path, tops: dict[Path, str], label: str) -> Listing:
    tables: list[pa.Table] = []
    files: list[_Found] = []
    splits: list[str] = []
    for top, split in tops.items():
        file = next((top / name for name in _METADATA if (top / name).exists()), None)
        if file is None:
            raise DataError(f"{top}: no metadata.csv or metadata.jsonl, as the other splits have")
        table = _read_metadata(file)
        for column in ("file_name", label):
            require_column(table.schema, column, str(file))
        names = [str(name) for name in table.column("file_name").to_pylist()]
        files += [_stamped(os.path.join(top, name)) for name in names]
        splits += _told_splits(table, names, split, str(file))
        tables.append(table)
    joined = pa.concat_tables(tables, promote_options="permissive")
    others: Counter[str] = Counter()
    listed = {os.path.normpath(each.path) for each in files}
    unlisted = [
        Problem("unlisted_image", each.path, "not in the metadata file; left out")
        for top in tops
        for each in _walk(top, others)
        if os.path.normpath(each.path) not in listed
    ]
    keep = [name for name in joined.column_names if name not in ("file_name", label, "split")]
    return _listing(
        root, files, joined.column(label), splits, problems=unlisted, extras=joined.select(keep)
    )


def _told_splits(table: pa.Table, names: list[str], split: str, where: str) -> list[str]:
    """Splits from a column `split`, else from the first folder in the file name, else as given."""
    if "split" in table.column_names:
        return [split_named(str(word), where) for word in table.column("split").to_pylist()]
    tops = [Path(name).parts[0].lower() if name else "" for name in names]
    return [SPLIT_WORDS.get(top, split) for top in tops]


def _read_metadata(file: Path) -> pa.Table:
    try:
        text = file.read_bytes().decode("utf-8-sig")  # line ends as they are: csv reads them
        if file.suffix == ".csv":
            rows: list[dict[str, Any]] = list(csv.DictReader(StringIO(text), strict=True))
        else:
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        if number := next((n for n, row in enumerate(rows, 1) if None in row), None):
            raise ValueError(f"entry {number} has more fields than there are columns")
        names = dict.fromkeys(name for row in rows for name in row)
        table = pa.table({name: [row.get(name) for row in rows] for name in names})
    except (OSError, ValueError, csv.Error, pa.ArrowException, AttributeError) as error:
        raise DataError(f"{file}: can't be read as {file.suffix[1:].upper()} ({error})") from error
    if not table.num_rows:
        raise DataError(f"{file}: lists no image")
    return table


def _listing(
    root: Path,
    files: list[_Found],
    values: pa.ChunkedArray,
    splits: list[str],
    *,
    names: list[str] | None = None,
    extras: pa.Table | None = None,
    problems: list[Problem],
) -> Listing:
    labels, classes = number_labels(values, names, str(root))
    paths = [each.path for each in files]
    return Listing(
        str(root),
        classes,
        labels,
        splits,
        paths,
        FileBlobs(paths),
        extras=extras,
        stamps=[each.stamp for each in files],
        problems=tuple(problems),
    )


def _endings(others: Counter[str]) -> str:
    if not others:
        return ""
    kinds = ", ".join(f"{count} {ending}" for ending, count in others.most_common(4))
    return f" (passed over: {kinds})"


def _ignored(root: Path, others: Counter[str]) -> list[Problem]:
    found = []
    if unreadable := others.pop(_NO_TEXT, 0):
        noun = "file whose name is" if unreadable == 1 else "files whose names are"
        what = f"{unreadable} {noun} no UTF-8; rename them"
        found.append(Problem("ignored_files", str(root), what))
    count = others.total()
    if not count:
        return found
    noun = "file with another ending" if count == 1 else "files with other endings"
    return [*found, Problem("ignored_files", str(root), f"{count} {noun}{_endings(others)}")]
