"""Label quality of a policy's targets, against what they are by hand."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.data.scenes import stripes
from tinyrefinery.data.batches import View
from tinyrefinery.evaluation.label_quality import label_quality
from tinyrefinery.evaluation.policy_quality import policy_quality
from tinyrefinery.labels.policy import SmoothedLabels
from tinyrefinery.losses.targets import SparseTargets
from tinyrefinery.options.crops import Inception
from tinyrefinery.options.labels import LabelSmoothing

PLAIN = stripes()
LABELS = PLAIN.manifest.labels
DATA = dataclasses.replace(PLAIN, truth=lambda rows, boxes: np.eye(3)[LABELS[rows]])
ROWS = DATA.manifest.rows("train")


def view(data=DATA):
    return View(data, Inception(size=12), seed=2)


def sparse_smoothing(batch):
    """As SmoothedLabels with epsilon 0.3: one class is named, the others share the rest."""
    return SparseTargets(batch.labels[:, None], torch.full((len(batch.labels), 1), 0.8), 3)


@pytest.mark.parametrize(
    "policy", [SmoothedLabels(LabelSmoothing(epsilon=0.3), 3), sparse_smoothing]
)
def test_smoothed_labels(policy):
    truth = np.eye(3)[LABELS[ROWS]]
    expected = label_quality(0.7 * truth + 0.1, truth)
    found = policy_quality(policy, view(), ROWS, batch_size=16)
    assert found == pytest.approx(expected, rel=1e-5)
    assert found["n"] == 80
    assert policy_quality(policy, view(), ROWS, batch_size=16, crops=20)["n"] == 32


def test_nothing_where_truth_is_not_known():
    assert (
        policy_quality(SmoothedLabels(LabelSmoothing(), 3), view(PLAIN), ROWS, batch_size=16) == {}
    )
