"""Counts of parameters and multiply-accumulates, against published ones and torch's counter."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tinyrefinery.evaluation.cost import macs, parameters
from tinyrefinery.models import MODELS, create

# Millions of multiply-accumulates as published: Label Refinery's code, TensorFlow's MobileNet v1
# table, MLPerf Tiny, He et al. / torchvision for the residual networks, torchvision for VGG.
PUBLISHED = {
    "alexnet": (224, 1135),
    "mobilenet_v1_100": (224, 569),
    "mobilenet_v1_075": (224, 325),
    "mobilenet_v1_050": (224, 149),
    "mobilenet_v1_025": (224, 41),
    "resnet8": (32, 12.5),
    "resnet18": (224, 1814),
    "resnet18_xnor": (224, 1814),  # the same convolutions
    "resnet50_xnor": (224, 4089),
    "resnet34": (224, 3664),
    "resnet50": (224, 4089),
    "vgg16": (224, 15_470),
    "vgg19": (224, 19_632),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published(name: str) -> None:
    size, millions = PUBLISHED[name]
    classes = 10 if name == "resnet8" else 1000
    with torch.device("meta"):
        network = create(name, classes, size=size)
    digits = 1 if isinstance(millions, float) else 0
    assert round(macs(network, 3, (size, size)) / 1e6, digits) == millions


def test_darknet19_has_the_published_operations() -> None:
    """5.58 billion (arXiv 1612.08242, section 3), two for each product."""
    with torch.device("meta"):
        network = create("darknet19", 1000, size=224)
    assert round(2 * macs(network, 3, (224, 224)) / 1e9, 2) == 5.58


@pytest.mark.parametrize("name", [*MODELS, "timm:mobilenetv3_small_050"])
def test_equals_torchs_counter(name: str) -> None:
    size, channels = (32, 48), 1
    with torch.device("meta"):
        network = create(name, 7, size=size, channels=channels)
        with FlopCounterMode(display=False) as counter:
            network.eval()(torch.empty(1, channels, *size))
    assert 2 * macs(network, channels, size) == counter.get_total_flops()


def test_elementwise_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Hardswish(), nn.Flatten(), nn.Linear(80, 5)
    )
    plain = 20 * 4 * 3 + 80 * 5
    assert macs(network, 3, (5, 4)) == plain
    assert macs(network, 3, (5, 4), elementwise=True) == plain + 80 + 80


def test_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2),  # 8 x 5 x 3 outputs of 2 x 9 products
        nn.BatchNorm2d(8),
        nn.Flatten(),
        nn.Linear(120, 10),
    )
    assert macs(network, 4, (10, 6)) == 8 * 5 * 3 * 2 * 9 + 120 * 10
    assert parameters(network) == 8 * 2 * 9 + 8 + 16 + 1210


def test_leaves_the_network_as_it_was() -> None:
    network = create("resnet8", 7, size=32)
    network.blocks[1].eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.random.get_rng_state()
    macs(network, 3, (32, 32))
    assert torch.equal(state, torch.random.get_rng_state())
    assert network.training
    assert [block.training for block in network.blocks] == [True, False, True]
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_a_shared_layer_counts_each_time_it_is_used() -> None:
    layer = nn.Conv2d(3, 3, 1)
    assert macs(nn.Sequential(layer, layer), 3, (4, 4)) == 2 * 16 * 9
    assert parameters(nn.Sequential(layer, layer)) == 12
