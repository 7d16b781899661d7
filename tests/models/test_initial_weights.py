"""First weights as in the papers' code, beside the layers of torch and torchvision."""

import math

import pytest
import torch
from torch import nn

from tinyrefinery import models
from tinyrefinery.errors import RecipeError


def layers_of(name, **options):
    torch.manual_seed(0)
    network = models.create(name, 10, size=32, **options)
    return {n: m for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}


def assert_spread(layer, expected, name):
    """The standard deviation, within five standard errors."""
    weight = layer.weight.detach()
    assert weight.mean().abs() < 5 * expected / math.sqrt(weight.numel()), name
    assert weight.std() == pytest.approx(expected, rel=5 / math.sqrt(2 * weight.numel())), name


def pytorch_default(layer):
    """The standard deviation of a layer of the same shape that PyTorch makes."""
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, 20_000).weight.std().item()
    fan_in = layer.in_channels * math.prod(layer.kernel_size)
    return nn.Conv2d(layer.in_channels, max(16, 10**6 // fan_in), layer.kernel_size).weight.std()


@pytest.mark.parametrize("name", ["alexnet", "resnet50"])
def test_label_refinerys_networks_are_drawn_by_pytorch(name):
    ours = layers_of(name)
    ratios = []
    for place, layer in layers_of(name, init="authors").items():
        expected = float(pytorch_default(layer))
        assert_spread(layer, expected, place)
        if isinstance(layer, nn.Conv2d):
            ratios.append(ours[place].weight.std().item() / expected)
    assert min(ratios) < 0.8
    assert max(ratios) > 2.5  # so the option changes something


def test_skipblocknets_depthwise_layers_are_drawn_as_mobilenetv3s():
    found = layers_of("skipblocknet_xs", init="authors")
    ours = layers_of("skipblocknet_xs")
    depthwise = {n: m for n, m in found.items() if isinstance(m, nn.Conv2d) and m.groups > 1}
    assert len(depthwise) > 10
    for place, layer in depthwise.items():
        # torchvision's MobileNetV3 calls this; it does not know of groups either.
        reference = torch.empty(layer.out_channels, 64, *layer.kernel_size)
        expected = nn.init.kaiming_normal_(reference, mode="fan_out").std().item()
        assert_spread(layer, expected, place)
        larger = ours[place].weight.std().item() / expected
        assert larger == pytest.approx(math.sqrt(layer.groups), rel=0.35)
    others = found.keys() - depthwise.keys()
    assert all(torch.equal(found[place].weight, ours[place].weight) for place in others)


@pytest.mark.parametrize("name", ["alexnet", "skipblocknet_xs", "resnet8"])
def test_ours_is_the_default(name):
    named, default = layers_of(name, init="ours"), layers_of(name)
    assert all(torch.equal(named[place].weight, default[place].weight) for place in default)


@pytest.mark.parametrize(
    ("name", "init", "told"),
    [
        ("vgg16", "authors", "no code of it"),
        ("timm:resnet18", "authors", "no code of it"),
        ("alexnet", "theirs", "init is ours or authors"),
        ("alexnet", 3, "init is ours or authors"),
    ],
)
def test_what_is_not_there_is_refused(name, init, told):
    with pytest.raises(RecipeError, match=told):
        models.create(name, 10, size=32, init=init)
