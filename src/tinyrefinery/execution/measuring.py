"""Measure a trained network, and keep its predictions."""

from typing import Any

from torch import nn

from tinyrefinery import builders
from tinyrefinery.data.batches import View, evenly_spaced
from tinyrefinery.data.manifest import SPLITS
from tinyrefinery.evaluation import cost
from tinyrefinery.evaluation.policy_quality import policy_quality
from tinyrefinery.evaluation.predictions import Predictions
from tinyrefinery.evaluation.summary import evaluate
from tinyrefinery.execution.opened import OpenJob
from tinyrefinery.labels.policy import LabelPolicy
from tinyrefinery.runs import files
from tinyrefinery.runs.plan import Step

TRAIN_ROWS = 50_000
"""Training samples evaluated at the end, at most."""


def measure(
    job: OpenJob, step: Step, network: nn.Module, policy: LabelPolicy, view: View
) -> dict[str, Any]:
    """Measure a network, and write its predictions on each split.

    Args:
        job: the job of the step.
        step: where the predictions are kept.
        network: the trained network, with its parts frozen as in training.
        policy: makes the labels that it learned from.
        view: its training crops.

    Returns:
        The content of evaluation.json, without early stopping's part.
    """
    stage = job.stages[step.stage]
    quality = policy_quality(policy, view, job.rows_of(stage), batch_size=stage.batch_size)
    info = builders.describe(job.recipe, stage, job.data)
    costs = cost.costs_of(network, info.channels, info.size)
    costs["frozen_parameters"] = cost.frozen_parameters(network)
    return evaluate(_keep_predictions(job, step, network), label_quality=quality, cost=costs)


def _keep_predictions(job: OpenJob, step: Step, network: nn.Module) -> dict[str, Predictions]:
    """Write the network's predictions on each split that has an image."""
    predictions: dict[str, Predictions] = {}
    for split in SPLITS:
        rows = job.measured.rows(split)
        rows = evenly_spaced(rows, TRAIN_ROWS) if split == "train" else rows
        predictions[split] = job.predict(network, rows)
        if len(rows):
            predictions[split].save(step.folder / files.predictions(split))
    return predictions
