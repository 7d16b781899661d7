"""Measure the networks of a finished run again, on other data or other crops."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinyrefinery import build
from tinyrefinery.errors import CheckpointError
from tinyrefinery.evaluation import cost
from tinyrefinery.evaluation.predictions import predict
from tinyrefinery.evaluation.summary import evaluate
from tinyrefinery.files import write_atomic
from tinyrefinery.models.network_file import load_network
from tinyrefinery.recipe.load import load_recipe, part_hash


def reevaluate(folder: Path, overrides: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Predict with every finished network of a run on the data of its recipe, changed.

    Predictions and measures are written to `evaluations/DIGEST/STAGE/` in the run folder.

    Args:
        folder: the run folder.
        overrides: changes to the recipe's data, e.g. `data.source.root=other/`.

    Returns:
        By stage key, what evaluation.json holds.

    Raises:
        CheckpointError: when the data has other classes than a network.
    """
    recipe = load_recipe(folder / "recipe.yaml", overrides)
    data = build.dataset(recipe.data)
    fabric = build.fabric(recipe.engine)
    view = build.eval_view(recipe, data, fabric.device)
    splits = [s for s in ("train", "validation", "test") if len(data.manifest.rows(s))]
    measured = {}
    for done in sorted(folder.glob("stages/*/done.json")):
        network, info = load_network(done.parent / "model.safetensors")
        if info.classes != data.classes:
            raise CheckpointError(
                f"{done.parent.name}: knows the classes {_few(info.classes)}, but the data has "
                f"{_few(data.classes)}; name the folders or labels alike"
            )
        network = network.to(fabric.device)
        found = {split: predict(network, view, data.manifest.rows(split)) for split in splits}
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


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" ... ({len(names)})" if len(names) > 4 else "")
