"""What is kept of a trained stage: its network, predictions, measures and dynamics."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
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
from tinyrefinery.files import write_atomic
from tinyrefinery.models.network_file import NetworkInfo, save_network
from tinyrefinery.training.dynamics import Dynamics

TRAIN_ROWS = 50_000
"""Training samples evaluated at the end, at most."""


def with_earlier_rows(path: Path, rows: list[str]) -> list[str]:
    """Rows of a table that use a stage, with those that earlier commands noted in its stage.json.

    Where one command knew them all, in its order, so that the stage is alike at every seed.
    """
    before: list[str] = []
    with suppress(OSError, ValueError, KeyError, TypeError):  # there is no such file yet
        before = [str(row) for row in json.loads(path.read_text())["rows"] if row]
    if set(before) <= set(rows):
        return rows
    return [*before, *(row for row in rows if row and row not in before)]


def keep_dynamics(folder: Path, dynamics: Dynamics, rows: np.ndarray, manifest: Manifest) -> None:
    """Write what training saw of each of its samples, and the labels that it speaks against."""
    table = dynamics_table(manifest, rows, dynamics.measures())
    save_dynamics(folder / "dynamics.parquet", table)
    save_suspects(folder / "suspects.csv", table, manifest)


def keep_network(
    folder: Path,
    net: nn.Module,
    info: NetworkInfo,
    *,
    manifest: Manifest,
    predict: Callable[[np.ndarray], Predictions],
    key: str,
    label_quality: Mapping[str, float],
    training: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the network and its measures; `done.json` last, as it declares the rest whole.

    Args:
        folder: of the stage.
        net: as it is kept.
        info: what its file tells.
        manifest: rows and splits of the data.
        predict: what the network says of some rows.
        key: of the stage.
        label_quality: of the labels that it learned from.
        training: how its training ended, where that was not after the last epoch.

    Returns:
        What evaluation.json holds.
    """
    save_network(folder / "model.safetensors", net, **vars(info))
    found: dict[str, Predictions] = {}
    for split in ("train", "validation", "test"):
        rows = manifest.rows(split)
        rows = evenly_spaced(rows, TRAIN_ROWS) if split == "train" else rows
        found[split] = predict(rows)
        if len(rows):
            found[split].save(folder / f"predictions-{split}.parquet")
    costs = {
        "parameters": cost.parameters(net),
        "macs": cost.macs(net, info.channels, info.size),
        "frozen_parameters": cost.frozen_parameters(net),
    }
    result = evaluate(found, label_quality=label_quality, cost=costs)
    if training is not None:
        result["training"] = dict(training)
    write_atomic(folder / "evaluation.json", json.dumps(result, indent=1, allow_nan=False))
    write_atomic(folder / "done.json", json.dumps({"key": key}))
    return result
