"""Any image data set of the Hugging Face hub, or a local one, through the `datasets` library."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.listing import OpeningOptions, assemble
from tinyrefinery.data.sources.parquet import Part, listing_of
from tinyrefinery.data.splits import SPLIT_WORDS, split_named
from tinyrefinery.errors import DataError
from tinyrefinery.names import nearest

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
    """Open a data set of the hub, a local one, or one that `save_to_disk` wrote.

    Images stay encoded, memory-mapped where the library does so. Nothing is downloaded when the
    library finds the data set in its own cache.

    Args:
        path: what `datasets.load_dataset` takes: a name on the hub, a folder, or a kind of file
            ("imagefolder", "parquet") with `data_dir` or `data_files`; or the folder of a data set
            that `save_to_disk` wrote.
        config: which configuration of it.
        splits: our split names to its own, e.g. {"train": "train", "test": "validation"}; all that
            have a known name by default.
        image: column with the images; by default the first one that the data set says is.
        label: column with the labels; by default the first of classes, or one named `label`.
        revision: branch, tag or commit on the hub.
        data_dir: as `load_dataset` takes it.
        data_files: as `load_dataset` takes it.
        **options: see `assemble`.

    Raises:
        DataError: when the library is not installed, the data set can't be had, or it has no such
            split or column, and as `assemble`.
    """
    keywords = {"revision": revision, "data_dir": data_dir, "data_files": data_files}
    loaded = _load(path, config, {k: v for k, v in keywords.items() if v is not None})
    chosen = _choose_splits(path, list(loaded), splits)
    features = loaded[next(iter(chosen.values()))].features
    image = image or _image_column(path, features)
    label = label or _label_column(path, features)
    parts = [
        _part(path, loaded[theirs], ours, theirs, image, label) for ours, theirs in chosen.items()
    ]
    name = f"{path} ({config})" if config else path
    return assemble(listing_of(name, parts, image, label, None), **options)


def _load(path: str, config: str | None, keywords: dict[str, Any]) -> Mapping[str, Any]:
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            f"{path}: Hugging Face data sets need the 'datasets' library: pip install datasets"
        ) from error
    try:
        if _is_saved(path):
            loaded = datasets.load_from_disk(path)
        else:
            loaded = datasets.load_dataset(path, config, **keywords)
    except Exception as error:  # the library raises its own, the hub's and the file readers' kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: the data set can't be had ({reason})") from error
    return loaded if isinstance(loaded, dict) else {"train": loaded}


def _is_saved(path: str) -> bool:
    marks = ("dataset_dict.json", "state.json")
    return any((Path(path) / mark).exists() for mark in marks)


def _choose_splits(
    path: str, theirs: list[str], wanted: Mapping[str, str] | None
) -> dict[str, str]:
    """Our split names to theirs."""
    if wanted is None:
        return {SPLIT_WORDS[name.lower()]: name for name in theirs if name.lower() in SPLIT_WORDS}
    chosen = {split_named(ours): name for ours, name in wanted.items()}
    for name in chosen.values():
        if name not in theirs:
            raise DataError(
                f"{path}: no split '{name}'; it has {', '.join(theirs)}.{nearest(name, theirs)}"
            )
    return chosen


def _image_column(path: str, features: Mapping[str, Any]) -> str:
    from datasets import Image

    for name, feature in features.items():
        if isinstance(feature, Image):
            return name
    raise DataError(
        f"{path}: no column is said to hold images; name it with image=... "
        f"The columns are {', '.join(features)}"
    )


def _label_column(path: str, features: Mapping[str, Any]) -> str:
    from datasets import ClassLabel

    known = [name for name in _LABELS if name in features]
    for name in [n for n, feature in features.items() if isinstance(feature, ClassLabel)] + known:
        return name
    raise DataError(
        f"{path}: no column is said to hold classes; name it with label=... "
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
    # A data set that is files on disk is not described by its fingerprint: look at it each time.
    mark = getattr(loaded, "_fingerprint", None)
    stamp = f"{path}\x1f{mark}" if mark and not os.path.isdir(path) else None
    return Part(where, table.replace_schema_metadata(None), ours, names, stamp)
