"""Every architecture is exported to ONNX and LiteRT and predicts the same.

With -rP, the differences are printed: the table of docs/export.md.
"""

import pytest
import torch

from tinyrefinery import export
from tinyrefinery.labels.batch_norm import has_batch_norm, recalibrate
from tinyrefinery.models import MODELS, create
from tinyrefinery.models.network_file import save_network

FAST = ("resnet8", "street_cnn", "mobilenet_v1_025")
SIZES = {"alexnet": 96, "densenet_k12": 32, "street_cnn": 32, "resnet8": 32}
TIMM = ("mobilenetv2_050", "mobilenetv3_small_100", "efficientnet_lite0", "efficientnet_b0")
TIMM += ("resnet18", "mnasnet_small", "ghostnet_050")
AMPLIFIES = ("timm:efficientnet_b0", "bireal_small", "alexnet_xnor", "resnet18_xnor")
AMPLIFIES += ("resnet50_xnor",)
"""Untrained, the first amplifies rounding: in float32 it is off by 5e-3 from itself in float64. In
the binary ones, rounding moves numbers near 0 to the other sign."""
SLOW = (*(name for name in MODELS if name not in FAST), *(f"timm:{name}" for name in TIMM))


def check(name, folder):
    size = SIZES.get(name, 64)
    torch.manual_seed(0)
    network = create(name, 10, size=size)
    if has_batch_norm(network):
        recalibrate(network, [torch.randn(8, 3, size, size)])
    file = folder / "network.safetensors"
    save_network(
        file,
        network.eval(),
        name=name,
        kwargs={},
        classes=[str(number) for number in range(10)],
        size=(size, size),
        channels=3,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
    for done in export(file, ["onnx", "litert"], folder=folder):
        print(f"{name}, {size} pixels, {done.path.suffix}: {done.parity.logit:.1e}")
        assert done.parity.logit <= done.parity.bound, (done.path.name, done.parity)
        assert name in AMPLIFIES or done.parity.bound == 1e-4
        assert done.path.exists()


@pytest.mark.parametrize("name", FAST)
def test_small_networks(name, tmp_path, converter):
    check(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_every_network(name, tmp_path, converter):
    check(name, tmp_path)
