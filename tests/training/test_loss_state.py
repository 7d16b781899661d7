"""A loss that keeps something from batch to batch is part of the training's saved state."""

import dataclasses

import pytest
import torch
from torch import nn

from tests.losses.named import create
from tests.training.test_loop import Killed, assert_equal, job, weights
from tinyrefinery.errors import CheckpointError
from tinyrefinery.losses.bias import BiasLoss
from tinyrefinery.options.losses import Bias
from tinyrefinery.training.loop import fit, fit_in_step
from tinyrefinery.training.state import load_state, save_state

RUNNING = {"scaling": "running_minimum", "clamp": None}


class Network(nn.Module):
    """One that hands out its feature maps."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 3))

    def forward_features(self, images):
        return self.body(images)

    def forward_head(self, features):
        return self.head(features)

    def forward(self, images):
        return self.head(self.body(images))


def training(folder, loss=None, **options):
    return dataclasses.replace(
        job(folder, Network(), **options), loss=loss or create("bias", **RUNNING)
    )


def cut_short(folder, every=None):
    """Epoch three is interrupted before its state is saved, or within."""
    calls = []

    def die(network):
        calls.append(1)
        if len(calls) == 3:
            raise Killed
        return {"validation_top1": 0.5}

    with pytest.raises(Killed):
        fit(training(folder, validate=die, checkpoint_every_steps=every))


@pytest.mark.parametrize("every", [None, 2])
def test_resume_is_bit_identical(tmp_path, every):
    undisturbed = training(tmp_path / "whole")
    expected = weights(fit(undisturbed)[0])
    cut_short(tmp_path / "cut", every)
    again = training(tmp_path / "cut", checkpoint_every_steps=every)
    assert_equal(weights(fit(again)[0]), expected)
    assert torch.equal(again.loss.minimum, undisturbed.loss.minimum)


def test_a_forgotten_state_would_show(tmp_path):
    whole = weights(fit(training(tmp_path / "whole"))[0])
    cut_short(tmp_path / "cut")
    path = tmp_path / "cut" / "state.pt"
    state = load_state(path)
    assert state["loss"]["minimum"].isfinite()
    state["loss"]["minimum"] = torch.tensor(torch.inf)
    save_state(path, state)
    other = weights(fit(training(tmp_path / "cut"))[0])
    assert any(not torch.equal(other[name], whole[name]) for name in whole)


def test_another_loss_is_named(tmp_path):
    fit(training(tmp_path, epochs=1))
    with pytest.raises(CheckpointError, match="another network, optimizer or loss"):
        fit(training(tmp_path, loss=create("bias")))


def test_trainings_in_step_have_losses_of_their_own(tmp_path):
    jobs = [training(tmp_path / name) for name in "ab"]
    alone = training(tmp_path / "alone")
    ended = [network for network, _ in fit_in_step(jobs)]
    expected = weights(fit(alone)[0])
    for network in ended:
        assert_equal(weights(network), expected)


def test_it_equals_a_step_by_hand(tmp_path):
    """One step: the loop hands the loss the features of the very pass that made the logits."""
    seen = []

    class Watch(BiasLoss):
        def forward(self, logits, targets, features=None):
            seen.append((logits.detach().clone(), features.detach().clone()))
            return super().forward(logits, targets, features)

    done = training(tmp_path, loss=Watch(**Bias().options), epochs=1, batch_size=80, lr=1e-9)
    fit(done)
    ((logits, features),) = seen
    assert features.shape == (80, 8, 10, 10)
    again = Network().head(features)
    torch.testing.assert_close(again, logits)
