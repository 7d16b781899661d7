"""The faster ways of bfloat16: what they compute, against float64, and where they step aside."""

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


@pytest.mark.parametrize("inplace", [False, True])
def test_relu_is_pytorchs_for_every_number_there_is(inplace):
    bits = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16)
    numbers = bits.view(torch.bfloat16)
    wanted, given = F.relu(numbers), numbers.clone()
    found = fast_bf16.relu(given, inplace=inplace)
    assert found is not None
    torch.testing.assert_close(found, wanted, rtol=0, atol=0, equal_nan=True)
    assert (found is given) == inplace
    assert inplace or torch.equal(given.view(torch.int16), bits)


def test_relu_leaves_other_types_to_pytorch():
    assert fast_bf16.relu(torch.zeros(3)) is None
    assert fast_bf16.relu(torch.zeros(3, dtype=torch.float16)) is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("shape", [(4, 3, 5, 8), (7, 8, 6, 32), (2, 12, 3, 2), (1, 15, 1, 64)])
@pytest.mark.parametrize("scaled", [True, False])
def test_batch_normalization_of_few_channels_against_float64(shape, dtype, scaled):
    maps = maps_of(*shape, dtype=dtype) * torch.linspace(1, 9, shape[1]).to(dtype)[:, None, None]
    maps += 20  # statistics in bfloat16 would be far off
    maps[..., ::2] -= 3  # neighbours differ
    weight = torch.linspace(0.5, 2, shape[1]) if scaled else None
    bias = torch.linspace(-1, 1, shape[1]) if scaled else None
    found = fast_bf16.batch_norm(maps, None, None, weight, bias, True, 0.1, 1e-3)
    assert found is not None
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


def test_batch_normalization_leaves_the_rest_to_pytorch():
    maps, few = maps_of(2, 64, 4, 4), maps_of(2, 8, 4, 4)
    zeros, ones = torch.zeros(8), torch.ones(8)
    assert fast_bf16.batch_norm(maps, None, None, None, None, True) is None  # enough channels
    assert fast_bf16.batch_norm(few, zeros, ones, None, None, True) is None  # wants new statistics
    assert fast_bf16.batch_norm(few, zeros, ones, None, None, False) is None
    assert fast_bf16.batch_norm(few.contiguous(), None, None, None, None, True) is None
    assert fast_bf16.batch_norm(maps_of(2, 8, 4, 3), None, None, None, None, True) is None  # odd
    assert fast_bf16.batch_norm(few[:, :, 0, 0], None, None, None, None, True) is None


@pytest.mark.parametrize("height", [1, 2, 3, 4, 7, 8])
@pytest.mark.parametrize("stride", [1, 2, (2, 1), (1, 2)])
@pytest.mark.parametrize("biased", [True, False])
def test_convolutions_of_small_maps_against_float64(monkeypatch, height, stride, biased):
    monkeypatch.setattr(fast_bf16, "MANY_WEIGHTS", 1)
    maps, weight = maps_of(3, 5, height, 4), maps_of(6, 5, 3, 3) / 4
    weight = weight.contiguous(memory_format=torch.channels_last)
    bias = torch.linspace(-1, 1, 6).bfloat16() if biased else None
    found = fast_bf16.conv2d(maps, weight, bias, stride, 1)
    wide = None if bias is None else bias.double()
    exact = F.conv2d(maps.double(), weight.double(), wide, stride, 1)
    if exact.shape[2] > fast_bf16.SMALL_MAP:
        assert found is None
        return
    assert found is not None
    assert found.shape == exact.shape
    assert found.is_contiguous(memory_format=torch.channels_last)
    rounded(found, exact)


def test_convolutions_take_maps_in_any_layout(monkeypatch):
    monkeypatch.setattr(fast_bf16, "MANY_WEIGHTS", 1)
    maps, weight = maps_of(4, 3, 8, 8), maps_of(2, 3, 3, 3)
    for given in (maps[:, :, ::2, ::2], maps[:, :, :4, 1:5].contiguous(), maps[::2, :, 4:, 4:]):
        found = fast_bf16.conv2d(given, weight, None, (1, 1), (1, 1))
        assert found is not None
        rounded(found, F.conv2d(given.double(), weight.double(), None, 1, 1))


def test_other_convolutions_are_left_to_pytorch(monkeypatch):
    maps, weight = maps_of(2, 4, 4, 4), maps_of(4, 4, 3, 3)
    assert fast_bf16.conv2d(maps, weight, None, 1, 1) is None  # few weights
    monkeypatch.setattr(fast_bf16, "MANY_WEIGHTS", 1)
    assert fast_bf16.conv2d(maps, weight, None, 1, 1) is not None
    assert fast_bf16.conv2d(maps, weight, None, 1, "same") is None
    assert fast_bf16.conv2d(maps, weight, None, 1, 0) is None
    assert fast_bf16.conv2d(maps, weight, None, 1, 1, 2) is None
    assert fast_bf16.conv2d(maps, weight[:, :1], None, 1, 1, 1, 4) is None
    assert fast_bf16.conv2d(maps, maps_of(4, 4, 1, 1), None, 1, 1) is None
    assert fast_bf16.conv2d(maps, weight.float(), None, 1, 1) is None
    assert fast_bf16.conv2d(maps.float(), weight, None, 1, 1) is None
    assert fast_bf16.conv2d(maps[0], weight, None, 1, 1) is None
    assert fast_bf16.conv2d(maps, weight.contiguous(), None, 1, 1) is None


@pytest.mark.parametrize("name", ["resnet8", "resnet18"])
def test_a_refiner_takes_them_and_labels_as_well_as_without(name, monkeypatch):
    torch.manual_seed(0)
    network = models.create(name, 10, size=(32, 32))
    images = torch.randn(8, 3, 32, 32)
    exact = Refiner([network], channels_last=True)(images)
    refiner = Refiner([network], bf16=True, channels_last=True)
    took = set()
    for function, way in fast_bf16._WAYS.items():

        def seen(*args, way=way, **kwargs):
            found = way(*args, **kwargs)
            took.add(None if found is None else way)
            return found

        monkeypatch.setitem(fast_bf16._WAYS, function, seen)
    faster = refiner(images)
    special = fast_bf16.batch_norm if name == "resnet8" else fast_bf16.conv2d
    assert {fast_bf16.relu, special} <= took
    assert torch.equal(faster, refiner(images))
    monkeypatch.setattr(fast_bf16, "_WAYS", {})
    plain = refiner(images)
    assert not torch.equal(plain, faster)
    torch.testing.assert_close(faster, plain, atol=0.004, rtol=0)
    # No further from float32 than PyTorch's own bfloat16, but for luck.
    assert (faster - exact).abs().mean() < 1.5 * (plain - exact).abs().mean() + 1e-5


def test_float32_and_gradients_are_left_to_pytorch(monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("a faster way was tried")

    monkeypatch.setattr(fast_bf16, "_WAYS", dict.fromkeys(fast_bf16._WAYS, never))
    network = models.create("resnet8", 10, size=(32, 32))
    images = torch.randn(4, 3, 32, 32, requires_grad=True)
    Refiner([network])(images)
    Refiner([network], bf16=True).differentiable(images).sum().backward()
    with pytest.raises(AssertionError, match="faster way"):
        Refiner([network], bf16=True)(images)


def test_a_network_that_is_no_longer_finite_is_not_hidden():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(512, 2)
    )
    assert isinstance(network[0].weight, torch.Tensor)
    network[0].weight.data[0, 0, 0, 0] = -torch.inf
    images = torch.randn(4, 3, 8, 8)
    assert Refiner([network], bf16=True, channels_last=True)(images).isnan().all()


def test_statistics_of_the_batch_are_used_for_good():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8))
    use_batch_statistics(network.eval())
    images = maps_of(4, 3, 8, 8, dtype=torch.float32)
    with torch.no_grad(), fast_bf16.computing(images.device, bf16=True):
        maps = network(images)
    torch.testing.assert_close(maps.float().mean((0, 2, 3)), torch.zeros(8), atol=0.01, rtol=0)
