"""Open a dataset by the name of its source."""

from importlib import import_module
from pathlib import Path
from typing import Any

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.overlay.apply import with_overlay
from tinyrefinery.data.splits import subset
from tinyrefinery.errors import DataError, RecipeError
from tinyrefinery.options.messages import check
from tinyrefinery.options.part import Part
from tinyrefinery.options.sources import Given, Opened, Source

OPENERS = {
    "street_numbers": "street_numbers:open_street_numbers",
    "folder": "folder:open_folder",
    "parquet": "parquet:open_parquet",
    "hugging_face": "hugging_face:open_hugging_face",
    "webdataset": "webdataset:open_webdataset",
    **dict.fromkeys(
        ("cifar10", "cifar100", "svhn", "food101", "imagenet", "voc"),
        "torchvision_sets:open_torchvision",
    ),
}
"""Name of a source -> module in `data/sources`, and the function in it that opens the part."""


class _Holder(Part):
    """Any source."""

    source: Source


def open_data(name: str, **options: Any) -> Dataset:
    """Open a dataset by the name of its source, e.g. `open_data("folder", root="photos/")`.

    Args:
        name: a key of `OPENERS`.
        **options: of the source, as a recipe has them (`options.sources`).

    Raises:
        DataError: if there is no such source or option, and as `open_source`.
    """
    try:
        holder = check({"source": {"name": name, **options}}, _Holder, source="open_data")
    except RecipeError as error:
        raise DataError(str(error).replace("open_data: source", f"data source '{name}'")) from error
    return open_source(holder.source)


def open_source(part: Source) -> Dataset:
    """Open the data set that a recipe names.

    Raises:
        DataError: if it can't be opened, or was handed over by Python code.
    """
    if isinstance(part, Given):
        raise DataError(
            "the data set was handed over by Python code, so a command can't open it: name a "
            "source, e.g. 'data.source={name: folder, root: photos/}'"
        )
    module, _, function = OPENERS[part.name].partition(":")
    dataset = getattr(import_module(f"tinyrefinery.data.sources.{module}"), function)(part)
    if part.overlay is not None:
        dataset = with_overlay(dataset, Path(part.overlay).expanduser(), part.ambiguous)
    return _limited(dataset, part) if isinstance(part, Opened) else dataset


def _limited(dataset: Dataset, part: Opened) -> Dataset:
    limits = {
        "train": part.train_limit,
        "validation": part.validation_limit,
        "test": part.test_limit,
    }
    for split, count in limits.items():
        if count is not None:
            dataset = subset(dataset, split, count, part.limit_seed)
    return dataset
