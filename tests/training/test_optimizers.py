"""RMSProp in both forms against NumPy, and that it survives an interruption."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from tests.training.test_loop import assert_equal, job, small_network, weights
from tinyrefinery.options.optimizers import RmsProp
from tinyrefinery.training import parameter_groups as optimizers
from tinyrefinery.training.loop import fit

SETTINGS = {"lr": 0.05, "alpha": 0.9, "momentum": 0.8, "eps": 1e-3, "weight_decay": 0.02}


class Weight(nn.Module):
    """A network of one weight."""

    def __init__(self, start: np.ndarray) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(start))


def by_hand(form: str, p: np.ndarray, gradients: list[np.ndarray]) -> np.ndarray:
    """The two definitions, with L2 decay; rates change from step to step."""
    tensorflow = form == "tensorflow"
    square, step = np.full_like(p, 1.0 if tensorflow else 0.0), np.zeros_like(p)
    for number, raw in enumerate(gradients):
        rate, g = SETTINGS["lr"] / (1 + number), raw + SETTINGS["weight_decay"] * p
        square = SETTINGS["alpha"] * square + (1 - SETTINGS["alpha"]) * g**2
        if tensorflow:
            step = SETTINGS["momentum"] * step + rate * g / np.sqrt(square + SETTINGS["eps"])
            p = p - step
        else:
            step = SETTINGS["momentum"] * step + g / (np.sqrt(square) + SETTINGS["eps"])
            p = p - rate * step
    return p


@pytest.mark.parametrize("form", ["pytorch", "tensorflow"])
def test_equals_the_definition(form: str) -> None:
    random = np.random.default_rng(0)
    start, gradients = random.normal(size=5), list(random.normal(size=(6, 5)))
    network = Weight(start)
    optimizer = optimizers.build(RmsProp(form=form, **SETTINGS), network)
    for number, gradient in enumerate(gradients):
        optimizer.param_groups[0]["lr"] = SETTINGS["lr"] / (1 + number)
        network.weight.grad = torch.tensor(gradient)
        optimizer.step()
    expected = by_hand(form, start, gradients)
    np.testing.assert_allclose(network.weight.detach().numpy(), expected, rtol=1e-10)


def test_tensorflows_form_goes_on_after_an_interruption(tmp_path) -> None:
    def training(folder, epochs):
        network = small_network()
        optimizer = optimizers.build(RmsProp(form="tensorflow", **SETTINGS), network)
        part = job(folder, network, ema=0.9, epochs=epochs)
        return dataclasses.replace(part, optimizer=optimizer)

    whole = weights(fit(training(tmp_path / "whole", 3))[0])
    fit(training(tmp_path / "cut", 2))
    assert_equal(weights(fit(training(tmp_path / "cut", 3))[0]), whole)
