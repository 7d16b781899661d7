"""Threshold samples: which images, which classes, and that nothing else changes."""

import numpy as np
import torch

from tests.data.scenes import stripes
from tinyrefinery.data.augmentation import Crops
from tinyrefinery.data.batches import Batch
from tinyrefinery.labels.policy import GivenLabels
from tinyrefinery.labels.threshold_samples import NONE, threshold_classes
from tinyrefinery.training.dynamics import Dynamics


def test_the_share_is_kept_and_no_class_is_the_given_one():
    labels = np.arange(20_000) % 7
    found = threshold_classes(labels, 7, 0.05)
    chosen = found != NONE
    assert abs(chosen.mean() - 0.05) < 0.01
    assert (found[chosen] != labels[chosen]).all()
    assert set(np.unique((found - labels)[chosen] % 7)) == {1, 2, 3, 4, 5, 6}
    assert (threshold_classes(labels[:500], 7, 0.05) == found[:500]).all()  # by row alone
    assert (threshold_classes(labels, 7, 0.0) == NONE).all()
    assert (threshold_classes(np.zeros(9, int), 1, 0.2) == NONE).all()


def test_the_policy_and_the_dynamics_use_the_wrong_class():
    manifest = stripes().manifest
    rows, k = np.arange(len(manifest)), len(manifest.classes)
    wrong = threshold_classes(manifest.labels, k, 0.2)
    assert (wrong != NONE).any()
    labels = torch.tensor(manifest.labels.copy())
    draws = Crops(np.zeros((len(rows), 4)), np.zeros(len(rows), bool))
    batch = Batch(torch.zeros(len(rows), 3, 1, 1), labels, rows, 0, draws)
    policy = GivenLabels(k, manifest, 0.2)
    targets = policy(batch)
    expected = np.where(wrong != NONE, wrong, manifest.labels)
    assert (targets.argmax(dim=1).numpy() == expected).all()
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(len(rows), k))).float()
    dynamics = Dynamics(rows, k, threshold_classes=wrong)
    dynamics.update(rows, logits, labels, targets, 0)
    measures = dynamics.measures()
    values = logits.numpy()
    other = np.where(np.eye(k, dtype=bool)[expected], -np.inf, values).max(axis=1)
    assert np.allclose(measures["aum"], values[rows, expected] - other, atol=1e-6)
    assert (measures["threshold_sample"] == (wrong != NONE)).all()
    assert "threshold_sample" not in Dynamics(rows, k).measures()
