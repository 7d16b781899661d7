"""Rounding to 8 bits, against NumPy in float64."""

import numpy as np
import torch

from tinyrefinery.layers.rounding import RoundedActivations, RoundedWeights


def test_weights_have_127_steps_of_each_channel():
    weights = torch.randn(5, 3, 2, 2, generator=torch.Generator().manual_seed(0)) * 7
    weights[4] = 0  # a dead channel
    w = weights.double().numpy()
    steps = np.maximum(np.abs(w).reshape(5, -1).max(axis=1), 1e-9).reshape(5, 1, 1, 1) / 127
    found = RoundedWeights()(weights).numpy()
    np.testing.assert_allclose(found, np.rint(w / steps) * steps, atol=1e-5)


def test_a_factor_per_channel_keeps_the_integers():
    """Why weights can be rounded before batch normalization is folded into them."""
    draws = torch.Generator().manual_seed(1)
    weights, factors = torch.randn(6, 4, generator=draws), torch.randn(6, 1, generator=draws)
    folded = RoundedWeights()(weights * factors)
    torch.testing.assert_close(folded, RoundedWeights()(weights) * factors)


def test_values_have_255_steps_of_a_range_that_contains_0():
    layer = RoundedActivations()
    values = torch.linspace(2.0, 10.0, 1001)
    found = layer(values).numpy()
    np.testing.assert_allclose(found, np.rint(values.double().numpy() * 25.5) / 25.5, atol=1e-5)
    layer.eval()
    assert float(layer(torch.tensor([40.0]))) == 10  # clipped: the range is kept


def test_the_range_is_the_mean_of_batches_and_then_moves_slowly():
    layer = RoundedActivations()
    for high in (1.0, 3.0, 5.0):
        layer(torch.tensor([-high, high]))
    assert float(layer.high) == -float(layer.low) == 3
    layer.batches.fill_(1000)
    layer(torch.tensor([0.0, 103.0]))
    assert float(layer.high) == 4  # 3 + 0.01 * (103 - 3)


def test_gradients_pass_within_the_range_only():
    layer = RoundedActivations()
    layer(torch.tensor([0.0, 1.0]))
    layer.eval()
    values = torch.tensor([0.3, 0.7, 2.0], requires_grad=True)
    layer(values).sum().backward()
    assert values.grad.tolist() == [1, 1, 0]
