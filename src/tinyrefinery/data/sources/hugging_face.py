"""Image datasets of the Hugging Face hub or local ones, through the `datasets` library."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.listing import OpeningOptions, assemble
from tinyrefinery.data.sources.parquet import Part, listing_of
from tinyrefinery.data.splits import SPLIT_WORDS, split_named
from tinyrefinery.errors import DataError, did_you_mean

_LABELS = ("label", "labels", "class", "fine_label", "target")  # names in use on the hub


def open_hugging_face(
    path: str,
    *,
    config: str | None = None,
    splits: Mapping[str, str] | None = None,
    image: str | None = None,
    label: str | None = None,
    revision: str | None = None,
    data_dir: str | None = None,
    data_files: Any = None,
    **options: Unpack[OpeningOptions],
) -> Dataset:
    """Open a dataset of the hub, a local one, or one written by `save_to_disk`.

    Images stay encoded, and memory-mapped if the library does so. Nothing is downloaded if the
    dataset is in the library's cache.

    Args:
        path: argument of `datasets.load_dataset`: a name on the hub, a folder, or a kind of file
            ("imagefolder", "parquet") with `data_dir` or `data_files`. Or the folder of a dataset
            written by `save_to_disk`.
        config: name of the configuration.
        splits: our split names -> its split names, e.g. {"train": "train", "test": "validation"};
            by default all with a known name.
        image: column with the images; by default the first one of type Image.
        label: column with the labels; by default the first one of type ClassLabel, or one with a
            common name such as `label`.
        revision: branch, tag or commit on the hub.
        data_dir: see `load_dataset`.
        data_files: see `load_dataset`.
        **options: see `assemble`.

    Raises:
        DataError: if the library is not installed, the dataset can't be loaded, or it has no such
            split or column, and as `assemble`.
    """
    keywords = {"revision": revision, "data_dir": data_dir, "data_files": data_files}
    loaded = _load(path, config, {k: v for k, v in keywords.items() if v is not None})
    split_names = _choose_splits(path, list(loaded), splits)
    features = loaded[next(iter(split_names.values()))].features
    image = image or _image_column(path, features)
    label = label or _label_column(path, features)
    parts = [
        _part(path, loaded[theirs], ours, theirs, image, label)
        for ours, theirs in split_names.items()
    ]
    name = f"{path} ({config})" if config else path
    return assemble(listing_of(name, parts, image, label, None), **options)


def _load(path: str, config: str | None, keywords: dict[str, Any]) -> Mapping[str, Any]:
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
            loaded = datasets.load_dataset(path, config, **keywords)
    except Exception as error:  # errors of the library, the hub and file readers
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: the dataset can't be loaded ({reason})") from error
    return loaded if isinstance(loaded, dict) else {"train": loaded}


def _is_saved(path: str) -> bool:
    marks = ("dataset_dict.json", "state.json")
    return any((Path(path) / mark).exists() for mark in marks)


def _choose_splits(
    path: str, theirs: list[str], wanted: Mapping[str, str] | None
) -> dict[str, str]:
    """Our split names -> theirs."""
    if wanted is None:
        return {SPLIT_WORDS[name.lower()]: name for name in theirs if name.lower() in SPLIT_WORDS}
    names = {split_named(ours): name for ours, name in wanted.items()}
    for name in names.values():
        if name not in theirs:
            raise DataError(
                f"{path}: no split '{name}'; it has {', '.join(theirs)}."
                f"{did_you_mean(name, theirs)}"
            )
    return names


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


def _part(path: str, loaded: Any, ours: str, theirs: str, image: str, label: str) -> Part:
    from datasets import ClassLabel, Image

    where = f"{path}, split {theirs}"
    if isinstance(loaded.features.get(image), Image):
        loaded = loaded.cast_column(image, Image(decode=False))
    feature = loaded.features.get(label)
    names = list(feature.names) if isinstance(feature, ClassLabel) else None
    table = loaded.with_format("arrow")[:]
    # Fingerprints don't cover files on disk, so local datasets are examined each time.
    fingerprint = getattr(loaded, "_fingerprint", None)
    stamp = f"{path}\x1f{fingerprint}" if fingerprint and not os.path.isdir(path) else None
    return Part(where, table.replace_schema_metadata(None), ours, names, stamp)
