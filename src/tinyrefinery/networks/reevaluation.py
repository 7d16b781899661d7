"""Measure the networks of a finished run again, on other data or other crops."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinyrefinery.evaluation import cost
from tinyrefinery.evaluation.predictions import predict
from tinyrefinery.evaluation.summary import evaluate
from tinyrefinery.files import write_atomic
from tinyrefinery.networks.network_data import check_kept
from tinyrefinery.networks.network_view import opened
from tinyrefinery.networks.opening import open_networks
from tinyrefinery.networks.recipe_data import measured_on
from tinyrefinery.recipe.load import part_hash


def reevaluate(folder: Path, overrides: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Predict with every finished network of a run on the data of its recipe, changed.

    Images that a network was trained or chosen on keep the split that they had then (see
    `networks.held_out`); other data without splits of its own counts as `test`. A class that the
    data lacks is not a mistake. Predictions and measures are written to
    `evaluations/DIGEST/STAGE/` in the run folder.

    Args:
        folder: the run folder.
        overrides: changes to the recipe's data, e.g. `data.source.root=other/`.

    Returns:
        By stage key, what evaluation.json holds.

    Raises:
        CheckpointError: when the data has a class that a network doesn't know, or other channels.
    """
    results = {}
    for measured in measured_on(open_networks([folder], seeds="all"), overrides):
        network, recipe = measured.network, measured.recipe
        net, view, workers = opened(network, measured.dataset, recipe)
        into = folder / "evaluations" / part_hash(recipe.data)[:8] / network.slug
        check_kept(into / "evaluation.json", network)
        predictions = {
            split: predict(net, view, rows, workers=workers)
            for split, rows in measured.splits.items()
        }
        for split, found in predictions.items():
            found.save(into / f"predictions-{split}.parquet")
        info = network.info
        costs = cost.costs_of(net, info.channels, info.size)
        result = evaluate(predictions, cost=costs)
        write_atomic(into / "evaluation.json", json.dumps(result, indent=1, allow_nan=False))
        results[network.digest] = result
    return results
