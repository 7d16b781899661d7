"""Measure the networks of a finished run again, on other data."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tinyrefinery import builders
from tinyrefinery.data.batches import View
from tinyrefinery.data.crops import CropSpec
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import CheckpointError, DataError
from tinyrefinery.evaluation import cost
from tinyrefinery.evaluation.predictions import predict
from tinyrefinery.evaluation.summary import evaluate
from tinyrefinery.files import write_atomic
from tinyrefinery.models.network_file import NetworkInfo, load_network
from tinyrefinery.recipe.data import Data
from tinyrefinery.recipe.load import load_recipe, part_hash

WHOLE = ("data.source.validation=0", "data.source.test=0")
"""Nothing is carved off data that is only measured."""


def reevaluate(folder: Path, overrides: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Predict with every finished network of a run on the data of its recipe, changed.

    Data without splits of its own counts as `test`, all of it. A class that the data lacks is no
    mistake. Predictions and measures are written to `evaluations/DIGEST/STAGE/` in the run folder.

    Args:
        folder: the run folder.
        overrides: changes to the recipe's data, e.g. `data.source.root=other/`.

    Returns:
        By stage key, what evaluation.json holds.

    Raises:
        CheckpointError: when the data has a class that a network doesn't know, or other channels.
    """
    path = folder / "recipe.yaml"
    recipe = load_recipe(path, overrides)
    if hasattr(recipe.data.source, "strict"):  # a source that is opened, hence may be carved
        recipe = load_recipe(path, [*overrides, *WHOLE])
    data = builders.dataset(recipe.data)
    fabric = builders.fabric(recipe.engine)
    splits = [s for s in ("train", "validation", "test") if len(data.manifest.rows(s))]
    measured = {}
    for done in sorted(folder.glob("stages/*/done.json")):
        network, info = load_network(done.parent / "model.safetensors")
        network = network.to(fabric.device)
        known = known_to(info, data, done.parent.name)
        view = network_view(info, known, recipe.data, fabric.device)
        found = {}
        for split in splits:
            rows = known.manifest.rows(split)
            name = "test" if len(splits) == 1 else split
            found[name] = predict(network, view, rows, workers=builders.workers(recipe, data))
        into = folder / "evaluations" / part_hash(recipe.data)[:8] / done.parent.name
        for split, predictions in found.items():
            predictions.save(into / f"predictions-{split}.parquet")
        costs = {
            "parameters": cost.parameters(network),
            "macs": cost.macs(network, info.channels, info.size),
        }
        result = evaluate(found, cost=costs)
        write_atomic(into / "evaluation.json", json.dumps(result, indent=1, allow_nan=False))
        measured[json.loads(done.read_text())["key"]] = result
    return measured


def network_view(
    info: NetworkInfo, data: Dataset, part: Data | None, device: torch.device | None = None
) -> View:
    """Whole images as a network sees them when it is evaluated.

    Args:
        info: of the network.
        data: under the network's classes.
        part: the recipe's, for its evaluation crop; None: the whole image at the network's size.
        device: of the images; None: the CPU.
    """
    spec = CropSpec("center", info.size) if part is None else builders.eval_spec(part)
    if part is not None and info.size != part.train_crop.size:
        spec = replace(spec, size=info.size, resize=None)
    return View(data, spec, 0, info.mean, info.std, device or torch.device("cpu"))


def known_to(info: NetworkInfo, data: Dataset, stage: str) -> Dataset:
    """The data under the network's own list of classes.

    Raises:
        CheckpointError: when the data has a class that the network doesn't know, or other channels.
    """
    if info.channels != data.images.channels:
        raise CheckpointError(
            f"{stage}: takes images of {info.channels} channels, but the data has "
            f"{data.images.channels}; set data.source.channels={info.channels}"
        )
    try:
        return replace(data, manifest=data.manifest.with_classes(info.classes), truth=None)
    except DataError as error:
        raise CheckpointError(
            f"{stage}: does not know what the data shows: {error}. Name the folders or labels as "
            "in training"
        ) from error
