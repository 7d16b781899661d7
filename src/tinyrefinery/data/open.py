"""Open a dataset by the name of its source."""

from importlib import import_module
from pathlib import Path
from typing import Any, get_args

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.overlay.apply_decisions import with_overlay
from tinyrefinery.data.splits import subset
from tinyrefinery.errors import DataError, RecipeError, did_you_mean, no_permission
from tinyrefinery.options.messages import check
from tinyrefinery.options.sources import (
    Folder,
    Given,
    HuggingFace,
    Opened,
    Parquet,
    Reviewed,
    Source,
    StreetNumbers,
    Torchvision,
    WebDataset,
)

OPENERS: dict[type[Reviewed], str] = {
    StreetNumbers: "street_numbers:open_street_numbers",
    Folder: "folder:open_folder",
    Parquet: "parquet:open_parquet",
    HuggingFace: "hugging_face:open_hugging_face",
    WebDataset: "webdataset:open_webdataset",
    Torchvision: "torchvision_sets:open_torchvision",
}
"""Part of a source -> module in `data/sources`, and the function in it that opens the part."""

KINDS = {name: kind for kind in OPENERS for name in get_args(kind.model_fields["name"].annotation)}
"""Name of a source -> its part, which declares the source's options."""


def open_data(name: str, **options: Any) -> Dataset:
    """Open a dataset by the name of its source, e.g. `open_data("folder", root="photos/")`.

    Args:
        name: `street_numbers`, `folder`, `parquet`, `hugging_face`, `webdataset`, `cifar10`,
            `cifar100`, `svhn`, `food101`, `imagenet` or `voc`.
        **options: of the source, as in a recipe: the fields of its part in `options.sources`.

    Raises:
        DataError: if there is no such source or option, and as `open_source`.
    """
    if not isinstance(name, str):
        raise DataError(
            f"open_data: {name!r:.80} is not the name of a source. Write open_data('folder', "
            "root='photos/')"
        )
    if name not in KINDS:
        raise DataError(
            f"no data source '{name}'.{did_you_mean(name, KINDS)} Known: {', '.join(KINDS)}."
        )
    try:
        part = check({"name": name, **options}, KINDS[name], source=f"data source '{name}'")
    except RecipeError as error:
        raise DataError(str(error)) from error
    return open_source(part)


def open_source(part: Source | Reviewed) -> Dataset:
    """Open the dataset that a recipe names.

    Raises:
        DataError: if it can't be opened, or was handed over by Python code.
    """
    if isinstance(part, Given):
        raise DataError(
            "the dataset was handed over by Python code, so a command can't open it. Name the "
            "images, e.g. 'data.source={name: folder, root: photos/}', or data: photos/ in a file "
            "of data tests"
        )
    module, _, function = OPENERS[type(part)].partition(":")
    opener = getattr(import_module(f"tinyrefinery.data.sources.{module}"), function)
    try:
        dataset = opener(part)
    except PermissionError as error:
        raise no_permission(error) from error
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
