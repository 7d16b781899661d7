"""The maps that a detector looks at, found in any backbone."""

import pytest
import torch
from torch import nn

from tinyrefinery.detection.backbone_maps import find_maps, maps_of
from tinyrefinery.detection.detector import Detector
from tinyrefinery.errors import RecipeError
from tinyrefinery.evaluation.cost import parameters
from tinyrefinery.models import MODELS, create
from tinyrefinery.recipe.detection import DetectorSpec

# Strides and channels at 16 and 32, from the architectures' tables; ends at a finer stride: that.
KNOWN = {
    "alexnet": [(16, 256), (32, 256)],
    "mobilenet_v1_050": [(16, 256), (32, 512)],
    "mobilenet_v1_100": [(16, 512), (32, 1024)],
    "mobilenet_v2_100": [(16, 576), (32, 1280)],
    "resnet8": [(16, 64)],
    "resnet18": [(16, 256), (32, 512)],
    "resnet50": [(16, 512), (32, 2048)],  # 512: layer 4 is narrowed before its stride
    "skipblocknet_s": [(16, 528), (32, 720)],  # 528: the block of stride 32 widens 88 by 6
    "street_cnn": [(8, 64)],
    "timm:mobilenetv2_100": [(16, 576), (32, 1280)],  # 576: arXiv 1801.04381, section 6.2
    "timm:resnet18": [(16, 256), (32, 512)],
}
HEAVY = ("alexnet", "resnet34", "resnet50")


def names():
    every = [*MODELS, "timm:mobilenetv2_100", "timm:resnet18"]
    return [pytest.param(n, marks=[pytest.mark.slow] if n in HEAVY else []) for n in every]


@pytest.mark.parametrize("name", names())
def test_every_network_becomes_a_detector(name):
    torch.manual_seed(0)
    backbone = create(name, 5, size=128)
    alone = parameters(create(name, 5, size=128))
    detector = Detector(backbone, 3, DetectorSpec(size=128, extra=(32, 32, 32, 32)))
    found = [(p.stride, p.channels) for p in find_maps(backbone, (16, 32))]
    if name in KNOWN:
        assert found == KNOWN[name]
    assert parameters(backbone) < alone, "what classifies is still there"
    outputs = detector(torch.randn(2, 3, 128, 128))
    assert outputs.shape == (2, len(detector.default_boxes), 4 + 1 + 3)
    outputs.square().mean().backward()
    assert all(p.grad is not None for p in detector.parameters())


def test_a_network_without_maps_is_refused():
    network = create("timm:vit_tiny_patch16_224", 5, size=224)
    with pytest.raises(RecipeError, match="can't process an image of 256 pixels"):
        find_maps(network, (16, 32))

    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 4)

        def forward_features(self, x):
            return self.fc(x.mean(dim=(2, 3)))

    with pytest.raises(RecipeError, match="has no feature maps"):
        find_maps(Flat(), (16, 32))


class Branching(nn.Module):
    """Squeeze-and-excitation, a shared activation and a pool: none of which is to be taken."""

    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU()  # used at every stride
        self.down = nn.ModuleList(nn.Conv2d(3 if i == 0 else 8, 8, 3, 2, 1) for i in range(5))
        self.squeeze = nn.AdaptiveAvgPool2d(1)
        self.gate = nn.Conv2d(8, 8, 1)
        self.classify = nn.Linear(8, 4)

    def forward_features(self, x):
        for i, layer in enumerate(self.down):
            x = self.relu(layer(x))
            if i == 3:
                x = x * self.gate(self.squeeze(x)).sigmoid()
        return x


def test_gates_and_shared_layers_are_passed_over():
    network = Branching()
    places = find_maps(network, (8, 16, 32))
    assert [p.module for p in places] == ["down.2", "down.3", "down.4"]
    assert isinstance(network.classify, nn.Identity)
    assert isinstance(network.gate, nn.Conv2d)


def test_maps_are_those_of_the_modules_and_hooks_are_gone():
    network = create("mobilenet_v1_025", 5, size=128).eval()
    before = [m.training for m in network.modules()]
    places = [p.module for p in find_maps(network.train(), (16, 32))]
    assert places == ["blocks.10", "blocks"]
    assert not any(before)
    assert all(m.training for m in network.modules())
    network.eval()
    x = torch.randn(1, 3, 96, 96)
    with torch.inference_mode():
        fine, coarse = maps_of(network, places, x)
        torch.testing.assert_close(coarse, network.forward_features(x))
        torch.testing.assert_close(fine, network.blocks[:11](network.stem(x)))
    assert not any(module._forward_hooks for module in network.modules())
