"""Image datasets of the Hugging Face hub or local ones, through the `datasets` library."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from tinyrefinery.data.dataset import Dataset, Problem
from tinyrefinery.data.listing import assemble
from tinyrefinery.data.sources.parquet import Table, listing_of
from tinyrefinery.data.splits import SPLIT_WORDS
from tinyrefinery.errors import DataError, did_you_mean
from tinyrefinery.options.sources import HuggingFace

_LABELS = ("label", "labels", "class", "fine_label", "target")  # names in use on the hub


def open_hugging_face(part: HuggingFace) -> Dataset:
    """Open a dataset of the hub, a local one, or one written by `save_to_disk`.

    Images stay encoded, and memory-mapped if the library does so. Nothing is downloaded if the
    dataset is in the library's cache.

    Raises:
        DataError: if the library is not installed, the dataset can't be loaded, or it has no such
            split or column, and as `assemble`.
    """
    path = part.path
    loaded = _load(part)
    split_names = _choose_splits(part, list(loaded))
    features = loaded[next(iter(split_names.values()))].features
    image = part.image or _image_column(path, features)
    label = part.label or _label_column(path, features)
    tables = [
        _table(path, loaded[theirs], ours, theirs, image, label)
        for ours, theirs in split_names.items()
    ]
    name = f"{path} ({part.config})" if part.config else path
    listing = listing_of(name, tables, image, label, None)
    return assemble(replace(listing, problems=_unused_splits(part, loaded, split_names)), part)


def _unused_splits(
    part: HuggingFace, loaded: Mapping[str, Any], used: Mapping[str, str]
) -> tuple[Problem, ...]:
    """The splits that no name of ours stands for, unless the recipe chose splits."""
    if part.splits is not None:
        return ()
    return tuple(
        Problem(
            "ignored_files",
            f"{part.path}, split {name}",
            f"{len(rows)} images of a split that is neither train, validation nor test",
        )
        for name, rows in loaded.items()
        if name not in used.values()
    )


def _load(part: HuggingFace) -> Mapping[str, Any]:
    path = part.path
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            f"{path}: Hugging Face datasets need the 'datasets' library: pip install datasets"
        ) from error
    try:
        if _is_saved(path):
            loaded = datasets.load_from_disk(path)
        else:
            options = part.model_dump(include={"revision", "data_dir", "data_files"})
            given = {name: value for name, value in options.items() if value is not None}
            loaded = datasets.load_dataset(path, part.config, **given)
    except Exception as error:  # errors of the library, the hub and file readers
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: the dataset can't be loaded ({reason})") from error
    return loaded if isinstance(loaded, dict) else {"train": loaded}


def _is_saved(path: str) -> bool:
    marks = ("dataset_dict.json", "state.json")
    return any((Path(path) / mark).exists() for mark in marks)


def _choose_splits(part: HuggingFace, theirs: list[str]) -> dict[str, str]:
    """Our split names -> theirs."""
    if part.splits is None:
        return _splits_by_name(part.path, theirs)
    for name in part.splits.values():
        if name not in theirs:
            raise DataError(
                f"{part.path}: no split '{name}'; it has {', '.join(theirs)}."
                f"{did_you_mean(name, theirs)}"
            )
    return {**part.splits}


def _splits_by_name(path: str, theirs: list[str]) -> dict[str, str]:
    """Our split names -> theirs, where the names tell."""
    found: dict[str, str] = {}
    for name in theirs:
        ours = SPLIT_WORDS.get(name.lower())
        if ours is None:
            continue
        if ours in found:
            raise DataError(
                f"{path}: the splits '{found[ours]}' and '{name}' are both {ours}. Name the one to "
                f"use, e.g. splits={{train: {theirs[0]}, {ours}: {name}}}"
            )
        found[ours] = name
    if "train" not in found:
        raise DataError(
            f"{path}: no training split; it has {', '.join(theirs)}. Name one, e.g. "
            f"splits={{train: {theirs[0]}}}"
        )
    return found


def _image_column(path: str, features: Mapping[str, Any]) -> str:
    from datasets import Image

    for name, feature in features.items():
        if isinstance(feature, Image):
            return name
    raise DataError(
        f"{path}: no column has the type Image: name the column with image=... "
        f"The columns are {', '.join(features)}"
    )


def _label_column(path: str, features: Mapping[str, Any]) -> str:
    from datasets import ClassLabel

    candidates = [name for name, feature in features.items() if isinstance(feature, ClassLabel)]
    candidates += [name for name in _LABELS if name in features]
    if candidates:
        return candidates[0]
    raise DataError(
        f"{path}: no column has the type ClassLabel: name the column with label=... "
        f"The columns are {', '.join(features)}"
    )


def _table(path: str, loaded: Any, ours: str, theirs: str, image: str, label: str) -> Table:
    from datasets import ClassLabel, Image

    where = f"{path}, split {theirs}"
    if isinstance(loaded.features.get(image), Image):
        loaded = loaded.cast_column(image, Image(decode=False))
    feature = loaded.features.get(label)
    names = list(feature.names) if isinstance(feature, ClassLabel) else None
    table = _checked_table(loaded, where)
    # Fingerprints don't cover files on disk, so local datasets are examined each time.
    fingerprint = getattr(loaded, "_fingerprint", None)
    stamp = f"{path}\x1f{fingerprint}" if fingerprint and not os.path.isdir(path) else None
    return Table(where, table.replace_schema_metadata(None), ours, names, stamp)


def _checked_table(loaded: Any, where: str) -> pa.Table:
    """All rows of a split. Arrow maps files as they are: a damaged one ends the process.

    Raises:
        DataError: if the files are damaged.
    """
    try:
        loaded.data.validate(full=True)
        table = loaded.with_format("arrow")[:]
        table.validate(full=True)
    except Exception as error:  # errors of Arrow and of the library
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{where}: the Arrow files are damaged ({reason}). Save or download the dataset again"
        ) from error
    return table
