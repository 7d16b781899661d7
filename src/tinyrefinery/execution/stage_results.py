"""What is kept of a trained stage: its network, predictions, measures and dynamics."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from tinyrefinery.data.batches import evenly_spaced
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.evaluation import cost
from tinyrefinery.evaluation.dynamics_table import dynamics_table, save_dynamics
from tinyrefinery.evaluation.label_suspicion import save_suspects
from tinyrefinery.evaluation.predictions import Predictions
from tinyrefinery.evaluation.summary import evaluate
from tinyrefinery.models.network_file import NetworkInfo, save_network
from tinyrefinery.runs import files
from tinyrefinery.runs.plan import Step
from tinyrefinery.runs.writing import finish_stage
from tinyrefinery.training.dynamics import Dynamics

TRAIN_ROWS = 50_000
"""Training samples evaluated at the end, at most."""


def keep_dynamics(folder: Path, dynamics: Dynamics, rows: np.ndarray, manifest: Manifest) -> None:
    """Write what training recorded of each sample, and the likely label errors among them."""
    table = dynamics_table(manifest, rows, dynamics.measures())
    save_dynamics(folder / files.DYNAMICS, table)
    save_suspects(folder / files.SUSPECTS, table, manifest)


def keep_network(
    step: Step,
    network: nn.Module,
    info: NetworkInfo,
    *,
    manifest: Manifest,
    predict: Callable[[np.ndarray], Predictions],
    label_quality: Mapping[str, float],
    training: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the network, its predictions and measures, and declare the stage done.

    Args:
        step: of the plan.
        network: as it is kept.
        info: what its file holds besides the weights.
        manifest: rows and splits of the data.
        predict: the network's predictions on some rows.
        label_quality: of the labels that it learned from.
        training: how its training ended, where that was not after the last epoch.

    Returns:
        The measures, as evaluation.json holds them.
    """
    save_network(step.network, network, **vars(info))
    predictions: dict[str, Predictions] = {}
    for split in ("train", "validation", "test"):
        rows = manifest.rows(split)
        rows = evenly_spaced(rows, TRAIN_ROWS) if split == "train" else rows
        predictions[split] = predict(rows)
        if len(rows):
            predictions[split].save(step.folder / files.predictions(split))
    costs = {
        "parameters": cost.parameters(network),
        "macs": cost.macs(network, info.channels, info.size),
        "frozen_parameters": cost.frozen_parameters(network),
    }
    result = evaluate(predictions, label_quality=label_quality, cost=costs)
    if training is not None:
        result["training"] = dict(training)
    finish_stage(step, result)
    return result
