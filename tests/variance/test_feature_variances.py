"""Variances of feature maps against NumPy, of any layer; the network is left as it was."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.data.scenes import stripes
from tinyrefinery.data.batches import View
from tinyrefinery.errors import DataError
from tinyrefinery.models import create
from tinyrefinery.options.crops import Center
from tinyrefinery.variance.feature_variances import feature_variances, summary

DATA = stripes()
VIEW = View(DATA, Center(size=16), mean=(0.3,), std=(0.2,))
ROWS = DATA.manifest.rows("train")[:30]


def network() -> nn.Module:
    torch.manual_seed(0)
    return create("resnet8", 3, size=16, channels=1)


def by_numpy(maps: torch.Tensor) -> np.ndarray:
    return np.array([each.double().numpy().var(ddof=1) for each in maps])


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_the_last_feature_maps(batch_size: int) -> None:
    net = network()
    found = feature_variances(net, VIEW, ROWS, batch_size=batch_size)
    with torch.inference_mode():
        maps = net.eval().forward_features(VIEW.render(ROWS, 0).images)
    assert found.keys() == {"features"}
    np.testing.assert_allclose(found["features"], by_numpy(maps), rtol=1e-5)
    assert found["features"].dtype == np.float64


def test_any_layer() -> None:
    net = network()
    layers = ("stem.conv", "blocks.1", "fc", "features")
    found = feature_variances(net, VIEW, ROWS, layers, batch_size=16)
    assert tuple(found) == layers
    with torch.inference_mode():
        images = VIEW.render(ROWS, 0).images
        net.eval()
        conv = net.stem.conv(images)  # before the ReLU, which works in place
        second = net.blocks[1](net.blocks[0](net.stem(images)))
        logits = net(images)
    np.testing.assert_allclose(found["stem.conv"], by_numpy(conv), rtol=1e-5)
    np.testing.assert_allclose(found["blocks.1"], by_numpy(second), rtol=1e-5)
    np.testing.assert_allclose(found["fc"], by_numpy(logits), rtol=1e-4)


def test_a_convolution_by_its_number() -> None:
    net = network()
    name = [n for n, module in net.named_modules() if isinstance(module, nn.Conv2d)][2]
    found = feature_variances(net, VIEW, ROWS, ("conv:3", name))
    np.testing.assert_array_equal(found["conv:3"], found[name])


def test_leaves_the_network_as_it_was() -> None:
    net = network().train()
    net.blocks[0].eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    feature_variances(net, VIEW, ROWS, ("features", "blocks.0"))
    assert [block.training for block in net.blocks] == [False, True, True]
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())


def test_timms_networks_too() -> None:
    net = create("timm:mobilenetv3_small_050", 3, size=32, channels=1)
    view = View(DATA, Center(size=32, resize=32), mean=(0.3,), std=(0.2,))
    assert (feature_variances(net, view, ROWS)["features"] > 0).all()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            "blocks.9",
            r"no layer is named 'blocks.9'. Did you mean 'blocks\.\d'\? Layers: features, ",
        ),
        ("", "no layer is named ''"),
        ("conv:99", r"no layer 'conv:99': choose conv:1 to conv:\d+"),
        ("pool.nothing", "no layer is named 'pool.nothing'"),
    ],
)
def test_layers_that_wont_do(layer: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        feature_variances(network(), VIEW, ROWS, (layer,))


def test_layers_that_give_no_maps() -> None:
    net = network()
    net.unused = nn.Linear(1, 1)
    with pytest.raises(DataError, match="'unused' is not used in the forward pass"):
        feature_variances(net, VIEW, ROWS, ("unused",))
    net.fc = nn.Linear(64, 1)
    with pytest.raises(DataError, match=r"'fc' returns \(30, 1\), not maps of two or more numbers"):
        feature_variances(net, VIEW, ROWS, ("fc",))
    net.stem.add_module("halves", nn.Unflatten(0, (15, 2)))
    net.stem.add_module("whole", nn.Flatten(0, 1))
    with pytest.raises(DataError, match=r"'stem.halves' returns 15 maps for 30 images"):
        feature_variances(network_with(net.stem), VIEW, ROWS, ("stem.halves",))
    nn.init.constant_(net.stem.conv.weight, torch.nan)
    with pytest.raises(DataError, match="'stem': 30 of 30 variances are not finite"):
        feature_variances(network_with(net.stem), VIEW, ROWS, ("stem",))


def network_with(stem: nn.Module) -> nn.Module:
    net = network()
    net.stem = stem
    return net


def test_no_images() -> None:
    assert len(feature_variances(network(), VIEW, ROWS[:0])["features"]) == 0
    with pytest.raises(DataError, match="no images"):
        summary(np.empty(0))


def test_summary() -> None:
    values = np.arange(1.0, 102.0)
    found = summary(values)
    assert (found["n"], found["mean"], found["max"], found["min"]) == (101, 51, 101, 1)
    assert (found["p5"], found["median"], found["p95"]) == (6, 51, 96)
    assert found["std"] == pytest.approx(values.std(ddof=1))
