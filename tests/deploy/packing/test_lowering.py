"""A packed network predicts what its network predicts."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.deploy.packing.binary_networks import binary_network, lookup_network
from tinyrefinery.deploy.packing import packed_gain as gains
from tinyrefinery.deploy.packing.packed_gain import PackedGain, float_twin, packed_gain
from tinyrefinery.deploy.packing.packed_lowering import UnpackableError, pack_network
from tinyrefinery.deploy.packing.thresholds import float_bounds, sum_bounds
from tinyrefinery.layers.binary import BinaryConv2d
from tinyrefinery.layers.lookup import in_lookup_form
from tinyrefinery.models import create
from tinyrefinery.packed import packed_runtime
from tinyrefinery.packed.packed_format import write_packed
from tinyrefinery.packed.packed_runtime import PackedRuntime
from tinyrefinery.packed.program import Op

NETWORKS = [
    ("bireal_small", 32, {}),
    ("bireal_small", 40, {"widths": (32, 70), "depth": 1, "stem": "imagenet"}),
    ("resnet18_xnor", 32, {"width": 0.25}),
    ("resnet18_xnor", 64, {"width": 0.125, "stem": "imagenet"}),
    ("resnet50_xnor", 32, {"width": 0.125}),
]
ROUNDING = 1e-5
"""Of logits, as a share of the largest: float32 rounds to 6e-8 at each of some hundred steps."""


def _logits(network: nn.Module, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """In float64, and of the packed network."""
    size = (images.shape[2], images.shape[3])
    content = write_packed(pack_network(network, size, images.shape[1]))
    found = PackedRuntime(content).run(images.permute(0, 2, 3, 1).numpy())
    with torch.inference_mode():
        return network.double()(images.double()).numpy(), found


@pytest.mark.parametrize(("name", "size", "options"), NETWORKS, ids=str)
def test_a_network_predicts_the_same(name, size, options):
    network = binary_network(name, size, **options)
    expected, found = _logits(network, torch.randn(16, 3, size, size))
    share = np.abs(found - expected).max(axis=1) / np.abs(expected).max()
    # A sum within rounding of its bound may get the other sign: rare, and visible.
    assert (share < ROUNDING).sum() >= 15
    assert share.max() < 0.1
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 15 / 16


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("resnet8_lcnn", 32, {"words": 16}),
        ("resnet8_lcnn", 24, {"words": 300, "width": 2.0}),
        ("resnet18_lcnn", 64, {"words": 24, "width": 0.25, "stem": "imagenet"}),
    ],
    ids=str,
)
def test_a_lookup_network_predicts_the_same(name, size, options):
    network = lookup_network(name, size, **options)
    expected, found = _logits(network, torch.randn(8, 3, size, size))
    # It has no signs, so every image is within rounding.
    assert np.abs(found - expected).max() < ROUNDING * np.abs(expected).max()


def test_a_lookup_network_and_its_form_with_indices_are_one_file():
    network = lookup_network("resnet8_lcnn", 16, words=8)
    files = [write_packed(pack_network(n, (16, 16), 3)) for n in (network, in_lookup_form(network))]
    assert files[0] == files[1]


@pytest.mark.slow
def test_alexnet_predicts_the_same():
    network = binary_network("alexnet_xnor", 32)
    expected, found = _logits(network, torch.randn(16, 3, 32, 32))
    assert (np.abs(found - expected).max(axis=1) < ROUNDING * np.abs(expected).max()).sum() >= 15


def test_pixels_are_normalized_by_the_program():
    network, mean, std = binary_network("bireal_small", 32), (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    pixels = torch.randint(0, 256, (4, 3, 32, 32)).float()
    shift, scale = (torch.tensor(values).view(1, 3, 1, 1) for values in (mean, std))
    content = write_packed(pack_network(network, (32, 32), 3, normalization=(mean, std)))
    found = PackedRuntime(content).run(pixels.permute(0, 2, 3, 1).numpy())
    with torch.inference_mode():
        expected = network((pixels / 255 - shift) / scale).numpy()
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_between_binary_layers_there_are_only_bits():
    program = pack_network(binary_network("resnet18_xnor", 32, width=0.25), (32, 32), 3)
    binary = [step for step in program.steps if step.op == Op.BINARY]
    assert sum(program.values[step.output].is_bits for step in binary) == 8  # one per block
    assert sum(step.op == Op.SIGN for step in program.steps) == 8
    assert not [step for step in binary if "gain" in step.arrays and "slope" not in step.arrays]


def test_a_branch_that_others_read_is_not_changed_by_what_follows_it():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = BinaryConv2d(8, 8), nn.BatchNorm2d(8)
            self.slope, self.last = nn.PReLU(8), BinaryConv2d(8, 4)
            nn.init.uniform_(self.norm.weight, -1, 1)
            nn.init.normal_(self.norm.bias)

        def forward(self, x):
            shared = self.norm(self.conv(x))
            return self.last(self.slope(shared) + shared) + self.last(shared)

    torch.manual_seed(1)
    network = Branches().eval()
    expected, found = _logits(network, torch.randn(4, 8, 5, 5))
    expected = expected.transpose(0, 2, 3, 1).reshape(4, -1)
    assert np.abs(found - expected).max() < 1e-5


def test_bounds_are_exact_at_every_float():
    draws = np.random.default_rng(0)
    scale, shift = draws.standard_normal(2000), draws.standard_normal(2000)
    scale[:4], shift[:4] = (0, 0, 1, -1), (1, -1, 0, 0)
    flips, bounds = float_bounds(scale, shift)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = np.nan_to_num(-shift / scale, posinf=0, neginf=0).astype(np.float32)
    for x in (crossing, np.nextafter(crossing, np.float32(9)), np.nextafter(crossing, -crossing)):
        exact = np.array(
            [_is_positive(s, float(v), t) for s, v, t in zip(scale, x, shift, strict=True)]
        )
        assert ((x * flips >= bounds) == exact).all()


def _is_positive(scale: float, value: float, shift: float) -> bool:
    from fractions import Fraction

    return Fraction(scale) * Fraction(value) + Fraction(shift) >= 0


def test_bounds_of_sums_are_exact_at_every_integer():
    draws = np.random.default_rng(1)
    scale, shift = draws.standard_normal(500), 20 * draws.standard_normal(500)
    scale[:3], shift[:3] = (0, 0, 0.5), (0, -1, 2)
    flips, bounds = sum_bounds(scale, shift)
    for total in range(-40, 41):
        exact = [_is_positive(s, total, t) for s, t in zip(scale, shift, strict=True)]
        assert ((np.float32(total) * flips >= bounds) == exact).all()


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("resnet8", {}, "no layer with binary weights and binary inputs, and no lookup"),
        ("bireal_small", {"weights": "ternary"}, "no layer with binary weights"),
        ("bireal_small", {"activations": "float"}, "no layer with binary weights"),
        ("resnet18_xnor", {"width": 0.125, "input_scale": True}, "no input_scale"),
    ],
    ids=str,
)
def test_what_can_not_be_packed_is_named(name, options, reason):
    network = create(name, 10, size=32, **options).eval()
    with pytest.raises(UnpackableError, match=reason):
        pack_network(network, (32, 32), 3)
    assert reason in str(packed_gain(network, (32, 32), 3))


def test_an_unknown_layer_is_named():
    network = nn.Sequential(BinaryConv2d(3, 8), nn.Hardswish())
    with pytest.raises(UnpackableError, match="no layer Hardswish"):
        pack_network(network, (8, 8), 3)


def test_a_gain_is_a_sentence(monkeypatch):
    assert str(PackedGain(14.04, 30.96)) == (
        "yes; 14.0 times faster than float on this host; 31.0 times smaller"
    )
    monkeypatch.setattr(packed_runtime, "native", None)
    gain = packed_gain(create("bireal_small", 10, size=32).eval(), (32, 32), 3)
    assert str(gain).startswith("no: the extension is not installed")
    assert 18 < gain.smaller < 19  # 2,373,866 float32 in 511 kB


def test_a_lookup_network_is_compared_with_dense_convolutions():
    network = create("resnet8_lcnn", 10, size=32, words=16)
    twin, dense = float_twin(network), create("resnet8", 10, size=32)
    assert {n: p.shape for n, p in twin.named_parameters()} == {
        n: p.shape for n, p in dense.named_parameters()
    }


def test_coefficients_that_training_has_not_made_sparse_are_the_reason(monkeypatch):
    monkeypatch.setattr(gains, "_faster", lambda *_: 0.5)
    gain = packed_gain(create("resnet8_lcnn", 10, size=32, words=64, threshold=0.0), (32, 32), 3)
    assert str(gain).startswith("no: it is slower than float on this host. 100% of its lookup")
    assert str(gain).endswith("times larger")
    sparse = lookup_network("resnet8_lcnn", 32, words=16)
    assert packed_gain(sparse, (32, 32), 3).smaller > 4


def test_the_float_network_has_no_binary_layer_and_the_same_shapes():
    network = create("bireal_small", 10, size=32).eval()
    twin = float_twin(network)
    assert not [layer for layer in twin.modules() if isinstance(layer, BinaryConv2d)]
    assert {n: p.shape for n, p in twin.named_parameters()} == {
        n: p.shape for n, p in network.named_parameters()
    }
    assert [layer for layer in network.modules() if isinstance(layer, BinaryConv2d)]
