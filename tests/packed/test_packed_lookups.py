"""Packed lookup convolutions against dense convolutions of their filters, in float64."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.contracts.test_lookup_layers import convolve
from tinyrefinery.deploy.packing.packed_lowering import UnpackableError, pack_network
from tinyrefinery.layers.lookup import LookupConv2d
from tinyrefinery.packed.packed_format import write_packed
from tinyrefinery.packed.packed_runtime import PackedRuntime, variants
from tinyrefinery.packed.program import Op

ROUNDING = 1e-6
"""Of outputs, as a share of the largest: float32 rounds to 6e-8 at each of some hundred steps."""

CASES = [  # channels, filters, words, kernel, stride, padding, pixels
    (256, 256, 64, 3, 1, 1, (14, 14)),
    (16, 33, 12, 3, 2, 1, (9, 8)),
    (8, 16, 300, 3, 1, 1, (6, 7)),
    (5, 7, 4, 5, 3, 2, (11, 13)),
    (5, 40, 4, 5, 2, 0, (12, 9)),
    (20, 12, 9, 1, 1, 0, (7, 7)),
    (20, 12, 9, 1, 3, 0, (8, 8)),
    (3, 8, 6, 2, 4, 1, (10, 10)),
]


def sparse_layer(channels, filters, words, **options) -> LookupConv2d:
    """A layer of which about 8 % of the coefficients are kept, and one filter has none."""
    torch.manual_seed(channels + filters + words)
    layer = LookupConv2d(channels, filters, words=words, threshold=2.5, bias=True, **options)
    nn.init.normal_(layer.bias)
    with torch.no_grad():
        layer.coefficients[filters // 2] = 0
    return layer.eval()


def dense_filters(layer: LookupConv2d) -> np.ndarray:
    """(O, C, kh, kw) float64, word by word."""
    p = layer.coefficients.detach().double().numpy()
    d = layer.dictionary.detach().double().numpy()
    filters = np.zeros((len(p), d.shape[1], *p.shape[2:]))
    for o, t, r, c in np.argwhere(np.abs(p) > layer.least):
        filters[o, :, r, c] += p[o, t, r, c] * d[t]
    return filters


def packed(layer: nn.Module, size: tuple[int, int], channels: int) -> bytes:
    """The file of one layer."""
    return write_packed(pack_network(nn.Sequential(layer), size, channels))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_computes_the_dense_convolution_of_its_filters(native, case):
    channels, filters, words, kernel, stride, padding, size = case
    sides = {"kernel": kernel, "stride": stride, "padding": padding}
    layer = sparse_layer(channels, filters, words, **sides)
    images = np.random.default_rng(0).standard_normal((2, channels, *size)).astype(np.float32)
    expected = convolve(images.astype(np.float64), dense_filters(layer), stride, padding)
    expected = expected + layer.bias.detach().double().numpy()[:, None, None]
    content = packed(layer, size, channels)
    runs = [
        PackedRuntime(content, variant).run(np.ascontiguousarray(images.transpose(0, 2, 3, 1)))
        for variant in variants()
    ]
    assert len(runs) >= 2
    found = runs[0].reshape(2, *expected.shape[2:], filters).transpose(0, 3, 1, 2)
    assert np.abs(found - expected).max() < ROUNDING * np.abs(expected).max()
    assert all((run.view(np.uint32) == runs[0].view(np.uint32)).all() for run in runs)


def test_a_layer_without_any_coefficient_gives_its_bias(native):
    layer = LookupConv2d(4, 3, words=5, threshold=1e6, bias=True).eval()
    nn.init.normal_(layer.bias)
    content = packed(layer, (5, 5), 4)
    for variant in variants():
        found = PackedRuntime(content, variant).run(np.ones((1, 5, 5, 4), np.float32))
        assert (found.reshape(25, 3) == layer.bias.detach().numpy()).all()


def test_words_that_no_filter_uses_are_left_out():
    layer = sparse_layer(8, 4, 300)
    with torch.no_grad():
        layer.coefficients[:, 10:] = 0
    used = int(layer.is_kept.any(dim=3).any(dim=2).any(dim=0).sum())
    assert 0 < used <= 10
    program = pack_network(nn.Sequential(layer), (6, 6), 8)
    dictionary, entries = program.steps
    assert (dictionary.op, entries.op) == (Op.CONV, Op.LOOKUP)
    assert program.values[dictionary.output].channels == used
    assert entries.arrays["words"].dtype == np.uint8


def test_the_form_with_indices_is_packed_as_the_trained_layer():
    layer = sparse_layer(8, 16, 12)
    assert packed(layer.lookup(), (6, 7), 8) == packed(layer, (6, 7), 8)


def test_a_window_of_too_many_places_is_named():
    layer = LookupConv2d(4, 3, words=2, kernel=17)
    with pytest.raises(UnpackableError, match="a lookup convolution has 289 places"):
        packed(layer, (20, 20), 4)


def test_the_file_holds_the_words_and_six_bytes_per_entry():
    layer = LookupConv2d(256, 256, words=64)
    with torch.no_grad():
        least = layer.coefficients.abs().topk(3, dim=1).values[:, -1:]
        layer.coefficients.mul_(layer.coefficients.abs() >= least)
    program = pack_network(nn.Sequential(layer), (14, 14), 256)
    entries = 256 * 9 * 3
    assert program.steps[1].arrays["weights"].size == entries
    # A float, a byte for its word and one for its place. The rest is tables.
    assert 0 <= len(write_packed(program)) - (4 * 64 * 256 + 6 * entries + 4 * 257) < 1024
