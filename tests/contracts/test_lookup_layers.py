"""Function, gradient and conversion of lookup convolutions against float64 references in NumPy."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.constraints import constrain, penalties
from tinyrefinery.layers.lookup import (
    LookupConv2d,
    SparseConv2d,
    in_lookup_form,
    lookup_in_place_of,
)
from tinyrefinery.models import create
from tinyrefinery.training.parameter_groups import to_freeze


def convolve(maps, weights, stride, padding):
    """(B, C, h, w) and (O, C, k, k) -> (B, O, h', w'), pixel by pixel."""
    kernel = weights.shape[2]
    padded = np.pad(maps, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    rows = (padded.shape[2] - kernel) // stride + 1
    columns = (padded.shape[3] - kernel) // stride + 1
    out = np.empty((len(maps), len(weights), rows, columns))
    for i in range(rows):
        for j in range(columns):
            top, left = i * stride, j * stride
            seen = padded[:, :, top : top + kernel, left : left + kernel]
            out[:, :, i, j] = np.einsum("bckl,ockl->bo", seen, weights)
    return out


def pruned(p, threshold):
    least = threshold / math.sqrt(p.shape[1] * p.shape[2] * p.shape[3])
    return p * (np.abs(p) > least), least


def layer_of(d, p, **options):
    words, channels = d.shape
    layer = LookupConv2d(channels, len(p), words=words, kernel=p.shape[2], **options).double()
    with torch.no_grad():
        layer.dictionary.copy_(torch.from_numpy(d))
        layer.coefficients.copy_(torch.from_numpy(p))
    return layer


def numbers(seed=0, kernel=3):
    rng = np.random.default_rng(seed)
    x, d = rng.normal(size=(2, 5, 6, 7)), rng.normal(size=(4, 5))
    return rng, x, d, rng.normal(size=(3, 4, kernel, kernel))


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (5, 2, 0), (1, 1, 0)]
)
def test_the_function_is_that_of_filters_from_the_dictionary(kernel, stride, padding):
    _, x, d, p = numbers(kernel, kernel)
    layer = layer_of(d, p, stride=stride, padding=padding, threshold=3.0)
    sparse, least = pruned(p, 3.0)
    assert 0 < np.count_nonzero(sparse) < p.size
    filters = np.einsum("okrc,km->omrc", sparse, d)
    expected = convolve(x, filters, stride, padding)
    assert layer.least == pytest.approx(least)
    np.testing.assert_allclose(layer(torch.from_numpy(x)).detach(), expected, atol=1e-12)
    np.testing.assert_allclose(layer.dense(), filters, atol=1e-12)


@pytest.mark.parametrize("revive", [False, True])
def test_the_gradient_is_masked_and_pulls_to_zero(revive):
    """gP = dL/dP + sparsity e sign(P) above the threshold; within it 0, or dL/dP with revive."""
    rng, x, d, p = numbers(1)
    layer = layer_of(d, p, threshold=3.0, sparsity=0.7, revive=revive)
    out = layer(torch.from_numpy(x))
    g = rng.normal(size=tuple(out.shape))
    penalty = penalties(nn.Sequential(layer, nn.ReLU()))
    assert penalty is not None
    ((out * torch.from_numpy(g)).sum() + penalty).backward()
    sparse, least = pruned(p, 3.0)
    assert penalty.item() == pytest.approx(0.7 * least * np.abs(sparse).sum())
    found = np.einsum("bchw,kc->bkhw", x, d)
    padded = np.pad(found, ((0, 0), (0, 0), (1, 1), (1, 1)))
    dp, filters = np.zeros_like(p), np.einsum("okrc,km->omrc", sparse, d)
    dfilters = np.zeros_like(filters)
    wide = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    for i in range(g.shape[2]):
        for j in range(g.shape[3]):
            here = g[:, :, i, j]
            dp += np.einsum("bo,bkrc->okrc", here, padded[:, :, i : i + 3, j : j + 3])
            dfilters += np.einsum("bo,bmrc->omrc", here, wide[:, :, i : i + 3, j : j + 3])
    kept = sparse != 0
    expected = (dp if revive else dp * kept) + 0.7 * least * np.sign(sparse)
    np.testing.assert_allclose(layer.coefficients.grad, expected, atol=1e-10)
    dd = np.einsum("omrc,okrc->km", dfilters, sparse)
    np.testing.assert_allclose(layer.dictionary.grad, dd, atol=1e-10)


def test_pruned_numbers_stay_zero_unless_they_may_revive():
    _, _, d, p = numbers(2)
    for revive in (False, True):
        layer = layer_of(d, p, threshold=3.0, revive=revive)
        constrain(layer)
        expected = p if revive else pruned(p, 3.0)[0]
        np.testing.assert_array_equal(layer.coefficients.detach(), expected)


@pytest.mark.parametrize(("kernel", "stride", "bias"), [(3, 1, True), (3, 2, False), (1, 1, False)])
def test_the_lookup_form_computes_what_the_trained_layer_does(kernel, stride, bias):
    rng, x, d, p = numbers(3, kernel)
    layer = layer_of(d, p, stride=stride, bias=bias, threshold=3.0)
    shift = rng.normal(size=3) if bias else np.zeros(3)
    if bias:
        with torch.no_grad():
            layer.bias.copy_(torch.from_numpy(shift))
    sparse, _ = pruned(p, 3.0)
    expected = convolve(x, np.einsum("okrc,km->omrc", sparse, d), stride, kernel // 2)
    form = layer.lookup()
    assert len(form.values) == np.count_nonzero(sparse)
    assert form.starts.tolist() == [0, *np.cumsum([np.count_nonzero(o) for o in sparse])]
    shifted = expected + shift.reshape(1, -1, 1, 1)
    np.testing.assert_allclose(form(torch.from_numpy(x)), shifted, atol=1e-12)
    np.testing.assert_allclose(layer(torch.from_numpy(x)).detach(), shifted, atol=1e-12)


def test_only_layers_that_a_dictionary_makes_smaller_are_replaced():
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3),  # the first
        nn.Conv2d(16, 16, 3, stride=2, padding=1, bias=True),
        nn.Conv2d(16, 16, 1),
        nn.Conv2d(16, 16, 3, groups=16),
        nn.Sequential(nn.Conv2d(16, 8, 3)),
        nn.Conv2d(8, 2, 3),  # 18 vectors: fewer than words
    )
    lookup_in_place_of(network, 20, sparsity=0.5)
    changed = {n for n, m in network.named_modules() if isinstance(m, LookupConv2d)}
    assert changed == {"1", "4.0"}
    assert network[1].stride == 2
    assert network[1].bias is not None
    assert network[1].sparsity == 0.5
    assert network(torch.zeros(1, 3, 16, 16)).shape == (1, 2, 1, 1)
    with pytest.raises(RecipeError, match="1000 words saves nothing"):
        lookup_in_place_of(nn.Sequential(nn.Conv2d(16, 16, 3)), 1000)
    with pytest.raises(RecipeError, match=r"words \(0\) must be at least 1"):
        LookupConv2d(3, 4, words=0)


def test_a_whole_network_in_lookup_form_gives_the_logits_of_dense_filters():
    """The reference has ordinary convolutions with the filters that NumPy composes."""
    torch.manual_seed(0)
    network = create("resnet8_lcnn", 3, size=16, words=8, threshold=1.0).double().eval()
    form = in_lookup_form(network)
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    dense = create("resnet8", 3, size=16).double().eval()
    state = network.state_dict()
    for name in [n for n in state if n.endswith("dictionary")]:
        layer = name.removesuffix(".dictionary")
        d = state.pop(name).numpy()
        sparse, _ = pruned(state.pop(f"{layer}.coefficients").numpy(), 1.0)
        filters = np.einsum("okrc,km->omrc", sparse, d)
        state[f"{layer}.weight"] = torch.from_numpy(filters)
    dense.load_state_dict(state)
    assert sum(isinstance(m, SparseConv2d) for m in form.modules()) == 6
    assert not any(isinstance(m, LookupConv2d) for m in form.modules())
    with torch.no_grad():
        expected = dense(images)
        torch.testing.assert_close(form(images), expected, atol=1e-10, rtol=0)
        torch.testing.assert_close(network(images), expected, atol=1e-10, rtol=0)


def test_a_dictionary_can_be_frozen_alone():
    """Few-shot learning: new classes get new coefficients of the dictionaries that are there."""
    network = create("resnet8_lcnn", 3, size=16, words=8)
    parts = [n for n, _ in network.named_parameters() if n.endswith("dictionary")]
    assert to_freeze(network, ["fc.weight", "fc.bias"], parts) == set(parts)
