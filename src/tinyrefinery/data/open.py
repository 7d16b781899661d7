"""Open a dataset by the name of its source."""

import inspect
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.listing import assemble
from tinyrefinery.data.overlay.apply_decisions import Ambiguous, with_overlay
from tinyrefinery.data.splits import subset
from tinyrefinery.errors import DataError, did_you_mean

_PACKAGE = "tinyrefinery.data.sources."

SOURCES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "street_numbers": ("street_numbers", "open_street_numbers", {}),
    "folder": ("folder", "open_folder", {}),
    "parquet": ("parquet", "open_parquet", {}),
    "hugging_face": ("hugging_face", "open_hugging_face", {}),
    "webdataset": ("webdataset", "open_webdataset", {}),
    "cifar10": ("torchvision_sets", "open_torchvision", {"name": "cifar10"}),
    "cifar100": ("torchvision_sets", "open_torchvision", {"name": "cifar100"}),
    "svhn": ("torchvision_sets", "open_torchvision", {"name": "svhn"}),
    "food101": ("torchvision_sets", "open_torchvision", {"name": "food101"}),
    "imagenet": ("torchvision_sets", "open_torchvision", {"name": "imagenet"}),
    "voc": ("torchvision_sets", "open_torchvision", {"name": "voc"}),
}
"""Name -> module in `data/sources`, function that opens it, and fixed options of this name."""


def open_data(
    name: str,
    *,
    train_limit: int | None = None,
    validation_limit: int | None = None,
    test_limit: int | None = None,
    limit_seed: int = 0,
    overlay: str | None = None,
    ambiguous: Ambiguous = "soft",
    **options: Any,
) -> Dataset:
    """Open a dataset by the name of its source.

    Args:
        name: a key of `SOURCES`.
        train_limit: keep only this many training images, stratified by class (see `subset`).
        validation_limit: the same for validation images.
        test_limit: the same for test images.
        limit_seed: seed of this choice.
        overlay: a file of review decisions (see `with_overlay`). It is applied after validation and
            test images are split off, which it doesn't change, and before the limits.
        ambiguous: how to treat images that reviewers can't decide or disagree about.
        **options: of the source, and of `assemble`.

    Raises:
        DataError: if there is no such source or option, and as the source.
    """
    if name not in SOURCES:
        raise DataError(
            f"no data source '{name}'.{did_you_mean(name, SOURCES)} Known: {', '.join(SOURCES)}."
        )
    module, function, fixed = SOURCES[name]
    opener = getattr(import_module(_PACKAGE + module), function)
    _check_options(name, opener, fixed, options)
    dataset = opener(**fixed, **options)
    if overlay is not None:
        dataset = with_overlay(dataset, Path(overlay).expanduser(), ambiguous)
    limits = {"train": train_limit, "validation": validation_limit, "test": test_limit}
    for split, n in limits.items():
        if n is not None:
            dataset = subset(dataset, split, n, limit_seed)
    return dataset


def _check_options(
    name: str, opener: Callable[..., Dataset], fixed: dict[str, Any], options: dict[str, Any]
) -> None:
    allowed, missing = [], []
    for option in inspect.signature(opener).parameters.values():
        if option.kind is option.VAR_KEYWORD:
            shared = inspect.signature(assemble).parameters
            allowed += [parameter for parameter in shared if parameter != "listing"]
        elif option.name not in fixed:
            allowed.append(option.name)
            if option.default is option.empty and option.name not in options:
                missing.append(option.name)
    for option in options:
        if option not in allowed:
            raise DataError(
                f"data source '{name}' has no option '{option}'.{did_you_mean(option, allowed)} "
                f"Options: {', '.join(allowed)}."
            )
    if missing:
        raise DataError(f"data source '{name}' needs the option '{missing[0]}'")
