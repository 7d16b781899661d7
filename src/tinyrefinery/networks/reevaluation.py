"""Measure the networks of a finished run again, on other data."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinyrefinery import builders
from tinyrefinery.evaluation import cost
from tinyrefinery.evaluation.predictions import predict
from tinyrefinery.evaluation.summary import evaluate
from tinyrefinery.files import write_atomic
from tinyrefinery.models.network_file import load_network
from tinyrefinery.networks.view import measured_recipe, measured_splits, measuring_view
from tinyrefinery.recipe.load import part_hash


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
    recipe = measured_recipe(folder / "recipe.yaml", overrides)
    data = builders.dataset(recipe.data)
    fabric = builders.fabric(recipe.engine)
    workers = builders.workers(recipe, data)
    measured = {}
    for done in sorted(folder.glob("stages/*/done.json")):
        network, info = load_network(done.parent / "model.safetensors")
        network = network.to(fabric.device)
        view = measuring_view(info, data, recipe, fabric.device, done.parent.name)
        found = {
            split: predict(network, view, rows, workers=workers)
            for split, rows in measured_splits(view.dataset.manifest).items()
        }
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
