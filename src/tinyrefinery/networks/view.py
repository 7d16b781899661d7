"""From a recipe and a network's file to the data that the network is measured on."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tinyrefinery.data.batches import View
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.errors import CheckpointError, DataError
from tinyrefinery.models.network_file import NetworkInfo
from tinyrefinery.options.crops import Center
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.schema import Recipe

WHOLE = ("data.source.validation=0", "data.source.test=0")
"""Nothing is carved off data that is only measured."""
SPLITS = ("train", "validation", "test")


def measured_recipe(path: Path, overrides: Sequence[str]) -> Recipe:
    """The recipe whose data is measured; with overrides, data without splits stays whole."""
    recipe = load_recipe(path, overrides)
    if overrides and hasattr(recipe.data.source, "strict"):  # opened, hence it may be carved
        return load_recipe(path, [*overrides, *WHOLE])
    return recipe


def measured_splits(manifest: Manifest) -> dict[str, np.ndarray]:
    """Rows of each split that has any; data without splits of its own counts as `test`."""
    found = {split: manifest.rows(split) for split in SPLITS}
    found = {split: rows for split, rows in found.items() if len(rows)}
    return {"test": next(iter(found.values()))} if len(found) == 1 else found


def measuring_view(
    info: NetworkInfo, data: Dataset, recipe: Recipe | None, device: torch.device, name: str
) -> View:
    """The data as the network knows it: its classes, crops of its size, its normalization.

    Args:
        info: of the network.
        data: the recipe's.
        recipe: says how evaluation crops are made; None: the whole image at the network's size.
        device: where the network is.
        name: what errors call the network.

    Raises:
        CheckpointError: when the data has a class that the network doesn't know, or other channels.
    """
    crop = Center(size=info.size)
    if recipe is not None and info.size == recipe.data.train_crop.size:
        crop = recipe.data.eval_crop
    return View(_known_to(info, data, name), crop, 0, info.mean, info.std, device)


def _known_to(info: NetworkInfo, data: Dataset, name: str) -> Dataset:
    """The data under the network's own list of classes."""
    if info.channels != data.images.channels:
        raise CheckpointError(
            f"{name}: takes images of {info.channels} channels, but the data has "
            f"{data.images.channels}; set data.source.channels={info.channels}"
        )
    try:
        return replace(data, manifest=data.manifest.with_classes(info.classes), truth=None)
    except DataError as error:
        raise CheckpointError(
            f"{name}: does not know what the data shows: {error}. Name the folders or labels as "
            "in training"
        ) from error
