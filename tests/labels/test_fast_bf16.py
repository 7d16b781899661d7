"""The faster ways of bfloat16: what they compute, against float64, and where they step aside."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tinyrefinery import models
from tinyrefinery.labels import fast_bf16
from tinyrefinery.labels.batch_norm import use_batch_statistics
from tinyrefinery.labels.refiner import Refiner

HALF_STEP = 2.0**-8  # of a bfloat16 number, relative: 8 bits of significand


def maps_of(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    """Random maps (B, C, h, w) with the channels last in memory."""
    maps = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return maps.to(dtype).contiguous(memory_format=torch.channels_last)


def rounded(found: torch.Tensor, exact: torch.Tensor) -> None:
    """See that `found` is the exact result up to a step of bfloat16."""
    torch.testing.assert_close(found.double(), exact, rtol=HALF_STEP, atol=2e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize(
    "shape", [(4, 3, 5, 8), (7, 8, 6, 32), (2, 12, 3, 2), (1, 15, 1, 64), (3, 31, 7, 6)]
)
@pytest.mark.parametrize("scaled", [True, False])
def test_batch_normalization_of_few_channels_against_float64(shape, dtype, scaled):
    maps = maps_of(*shape, dtype=dtype) * torch.linspace(1, 9, shape[1]).to(dtype)[:, None, None]
    maps += 20  # statistics in bfloat16 would be far off
    maps[..., ::2] -= 3  # neighbours differ
    weight = torch.linspace(0.5, 2, shape[1]) if scaled else None
    bias = torch.linspace(-1, 1, shape[1]) if scaled else None
    assert fast_bf16.pixels_together(maps) > 1
    norm = nn.BatchNorm2d(shape[1], eps=1e-3, affine=scaled)
    if weight is not None and bias is not None:
        norm.load_state_dict({"weight": weight, "bias": bias}, strict=False)
    use_batch_statistics(norm.eval())
    with torch.no_grad():
        found = fast_bf16.BatchNorm(norm)(maps)
        torch.testing.assert_close(fast_bf16.BatchNorm(norm)(maps), found, rtol=0, atol=0)
    assert found.dtype == dtype
    assert found.is_contiguous(memory_format=torch.channels_last)
    pixels = maps.double().numpy()
    mean, variance = (f(pixels, axis=(0, 2, 3), keepdims=True) for f in (np.mean, np.var))
    exact = torch.from_numpy((pixels - mean) / np.sqrt(variance + 1e-3))
    if weight is not None and bias is not None:
        exact = exact * weight.double()[:, None, None] + bias.double()[:, None, None]
    if dtype == torch.bfloat16:
        rounded(found, exact)
    else:
        torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=1e-4)


def test_pixels_are_taken_together_where_that_pays():
    assert fast_bf16.pixels_together(maps_of(2, 16, 4, 32)) == 32
    assert fast_bf16.pixels_together(maps_of(2, 16, 2, 6)) == 4  # of 12 pixels
    assert fast_bf16.pixels_together(maps_of(2, 3, 4, 64)) == 128
    assert fast_bf16.pixels_together(maps_of(2, 32, 4, 4)) == 16
    assert fast_bf16.pixels_together(maps_of(2, 64, 4, 4)) == 1  # enough channels
    assert fast_bf16.pixels_together(maps_of(2, 32, 4, 4, dtype=torch.float32)) == 1
    assert fast_bf16.pixels_together(maps_of(2, 8, 3, 3)) == 1  # an odd number of pixels
    assert fast_bf16.pixels_together(maps_of(2, 8, 4, 4).contiguous()) == 1
    assert fast_bf16.pixels_together(torch.zeros(2, 8)) == 1


def test_running_statistics_and_gradients_are_left_to_pytorch():
    maps, norm = maps_of(4, 8, 4, 4), nn.BatchNorm2d(8).eval()
    norm.running_mean += 3  # type: ignore[operator]
    with torch.no_grad():
        assert torch.equal(fast_bf16.BatchNorm(norm)(maps), norm(maps))
    use_batch_statistics(norm)
    live = maps.clone().requires_grad_()
    assert fast_bf16.BatchNorm(norm)(live).requires_grad


def convolved(maps, weight, bias=None, stride=1, **options):
    """What a hastened layer gives, and whether it was by matrix products."""
    layer = nn.Conv2d(maps.shape[1], len(weight), 3, stride, 1, bias=bias is not None, **options)
    layer.weight.data = weight
    if bias is not None and layer.bias is not None:
        layer.bias.data = bias
    fast_bf16.speed_up(layer)
    seen = []
    products = fast_bf16.row_products
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(fast_bf16, "row_products", lambda *a: seen.append(0) or products(*a))
        return layer(maps), bool(seen)


@pytest.mark.parametrize("height", [1, 2, 3, 4, 7, 8])
@pytest.mark.parametrize("stride", [1, 2, (2, 1), (1, 2)])
@pytest.mark.parametrize("biased", [True, False])
def test_convolutions_of_small_maps_against_float64(monkeypatch, height, stride, biased):
    monkeypatch.setattr(fast_bf16, "MANY_WEIGHTS", 1)
    maps, weight = maps_of(3, 5, height, 4), maps_of(6, 5, 3, 3) / 4
    bias = torch.linspace(-1, 1, 6).bfloat16() if biased else None
    found, by_products = convolved(maps, weight, bias, stride)
    wide = None if bias is None else bias.double()
    exact = F.conv2d(maps.double(), weight.double(), wide, stride, 1)
    assert by_products == (exact.shape[2] <= fast_bf16.SMALL_MAP)
    assert found.is_contiguous(memory_format=torch.channels_last)
    rounded(found, exact)


def test_convolutions_take_maps_in_any_layout(monkeypatch):
    monkeypatch.setattr(fast_bf16, "MANY_WEIGHTS", 1)
    maps, weight = maps_of(4, 3, 8, 8), maps_of(2, 3, 3, 3)
    for given in (maps[:, :, ::2, ::2], maps[:, :, :4, 1:5].contiguous(), maps[::2, :, 4:, 4:]):
        found, by_products = convolved(given, weight)
        assert by_products
        rounded(found, F.conv2d(given.double(), weight.double(), None, 1, 1))


def test_other_convolutions_are_left_to_pytorch(monkeypatch):
    maps, weight = maps_of(2, 4, 4, 4), maps_of(4, 4, 3, 3)
    assert not convolved(maps, weight)[1]  # few weights
    monkeypatch.setattr(fast_bf16, "MANY_WEIGHTS", 1)
    assert convolved(maps, weight)[1]
    assert convolved(maps[0], weight)[0].shape == (4, 4, 4)
    assert not convolved(maps, weight, dilation=2)[1]
    assert not convolved(maps, weight, padding_mode="reflect")[1]
    assert not convolved(maps, weight[:, :2].contiguous(), groups=2)[1]
    assert not convolved(maps.float(), weight.float())[1]
    assert not convolved(maps, weight.contiguous())[1]


@pytest.mark.parametrize("stride", [2, (1, 3), (3, 2)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=str)
def test_strided_convolutions_of_single_pixels_against_float64(stride, layout):
    maps = maps_of(3, 5, 7, 8).contiguous(memory_format=layout)
    layer = nn.Conv2d(5, 6, 1, stride).to(torch.bfloat16)
    with torch.no_grad():
        usual = layer(maps)
        fast_bf16.speed_up(layer)
        assert "forward" in vars(layer)
        found = layer(maps)
        assert layer(maps[0]).shape == usual[0].shape
    exact = F.conv2d(maps.double(), layer.weight.double(), layer.bias.double(), stride)  # type: ignore[union-attr]
    assert found.shape == usual.shape
    rounded(found, exact)
    assert layer(maps.clone().requires_grad_()).requires_grad


@pytest.mark.parametrize("name", ["resnet8", "resnet18"])
def test_a_refiner_takes_them_and_labels_as_well_as_without(name, monkeypatch):
    torch.manual_seed(0)
    network = models.create(name, 10, size=(32, 32))
    images = torch.randn(8, 3, 32, 32)
    exact = Refiner([network], channels_last=True)(images)
    refiner = Refiner([network], bf16=True, channels_last=True)
    took = []
    special = "side_by_side" if name == "resnet8" else "row_products"
    way = getattr(fast_bf16, special)
    monkeypatch.setattr(fast_bf16, special, lambda *a, **k: took.append(0) or way(*a, **k))
    faster = refiner(images)
    assert len(took) == (5 if name == "resnet8" else 4)
    assert torch.equal(faster, refiner(images))
    monkeypatch.setattr("tinyrefinery.labels.refiner.speed_up", lambda network: None)
    plain = Refiner([network], bf16=True, channels_last=True)(images)
    assert not torch.equal(plain, faster)
    torch.testing.assert_close(faster, plain, atol=0.004, rtol=0)
    # No further from float32 than PyTorch's own bfloat16, but for luck.
    assert (faster - exact).abs().mean() < 1.5 * (plain - exact).abs().mean() + 1e-5


def test_float32_and_gradients_take_pytorchs_ways(monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("a faster way was taken")

    monkeypatch.setattr(fast_bf16, "side_by_side", never)
    network = models.create("resnet8", 10, size=(32, 32))
    images = torch.randn(4, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    Refiner([network], channels_last=True)(images)
    hastened = Refiner([network], bf16=True, channels_last=True)
    hastened.differentiable(images.clone().requires_grad_()).sum().backward()
    with pytest.raises(AssertionError, match="faster way"):
        hastened(images)


def test_identity_and_the_given_network_stay():
    network = models.create("resnet8", 10, size=(32, 32)).eval()
    images = torch.randn(4, 3, 32, 32)
    before = network(images)
    refiner = Refiner([network], bf16=True)
    assert "forward" not in vars(network.stem[1])  # type: ignore[index]
    assert torch.equal(network(images), before)
    copied = copy.deepcopy(refiner)
    assert torch.equal(copied(images), refiner(images))
    norms = [m for m in copied.networks[0].modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(vars(norm)["forward"].norm is norm for norm in norms)


def test_a_network_that_is_no_longer_finite_is_not_hidden():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(512, 2)
    )
    assert isinstance(network[0].weight, torch.Tensor)
    network[0].weight.data[0, 0, 0, 0] = -torch.inf
    images = torch.randn(4, 3, 8, 8)
    assert Refiner([network], bf16=True, channels_last=True)(images).isnan().all()
