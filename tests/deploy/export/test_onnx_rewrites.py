"""Rewritten graphs compute what they computed."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from tinyrefinery.deploy.export.exportable import Exportable
from tinyrefinery.deploy.export.onnx_rewrites import (
    rewrite_batch_norm,
    rewrite_global_mean,
    rewrite_hard_sigmoid,
    rewrite_max_pool_padding,
    take_pixels,
)
from tinyrefinery.deploy.export.untrained import convert_on_noise
from tinyrefinery.device.litert_graph import read_graph
from tinyrefinery.models.litert_file import LiteRtNetwork


def graph_of(network, path):
    images = torch.zeros(1, 3, 4, 4)
    torch.onnx.export(
        network.eval(),
        (images,),
        str(path),
        dynamo=True,
        verbose=False,
        external_data=False,
        input_names=["image"],
    )
    return onnx.load(path)


def run(model, images):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"image": images})[0]


def test_hard_sigmoid(tmp_path):
    model = graph_of(nn.Hardsigmoid(), tmp_path / "h.onnx")
    rewrite_hard_sigmoid(model)
    assert "HardSigmoid" not in {node.op_type for node in model.graph.node}
    images = np.random.default_rng(0).normal(0, 4, (1, 3, 4, 4)).astype(np.float32)
    expected = torch.nn.functional.hardsigmoid(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(run(model, images), expected, atol=1e-6)


class Mean(nn.Module):
    def __init__(self, axes: list[int], *, keepdim: bool) -> None:
        super().__init__()
        self.axes, self.keepdim = axes, keepdim

    def forward(self, images):
        return images.relu().mean(self.axes, self.keepdim)


@pytest.mark.parametrize("keepdim", [False, True])
def test_global_mean(tmp_path, keepdim):
    model = graph_of(Mean([2, 3], keepdim=keepdim), tmp_path / "m.onnx")
    rewrite_global_mean(model)
    assert "GlobalAveragePool" in {node.op_type for node in model.graph.node}
    images = np.random.default_rng(0).normal(0, 4, (1, 3, 4, 4)).astype(np.float32)
    expected = np.maximum(images.astype(np.float64), 0).mean((2, 3), keepdims=keepdim)
    found = run(model, images)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_means_of_other_axes_stay(tmp_path):
    model = graph_of(Mean([1, 2], keepdim=True), tmp_path / "m.onnx")
    rewrite_global_mean(model)
    assert "GlobalAveragePool" not in {node.op_type for node in model.graph.node}


POOLS = {
    "behind a ReLU": nn.Sequential(nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
    "before a ReLU": nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.ReLU()),
    "of any numbers": nn.MaxPool2d(3, 2, 1),
    "large": nn.MaxPool2d(5, 1, 2),
}


@pytest.mark.parametrize("name", POOLS)
def test_padding_of_max_pools(tmp_path, name):
    images = -np.random.default_rng(0).uniform(1, 9, (1, 3, 7, 8)).astype(np.float32)
    if name != "of any numbers":
        images[..., 2:5] *= -1
    expected = POOLS[name](torch.from_numpy(images)).numpy()
    torch.onnx.export(
        POOLS[name].eval(),
        (torch.zeros(1, 3, 7, 8),),
        str(tmp_path / "p.onnx"),
        **{"dynamo": True, "verbose": False, "external_data": False, "input_names": ["image"]},
    )
    model = onnx.load(tmp_path / "p.onnx")
    rewrite_max_pool_padding(model)
    kinds = Counter(node.op_type for node in model.graph.node)
    assert kinds["Pad"] == kinds["MaxPool"] == 1
    np.testing.assert_array_equal(run(model, images), expected)


def test_a_max_pool_with_padding_keeps_its_numbers_in_int8(converter, tmp_path):
    """The padding once had the least float, and all maps behind it the range of that."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        nn.Flatten(),
        nn.Linear(8 * 8 * 8, 10),
    )
    mean, std = (0.5,) * 3, (0.25,) * 3
    module = Exportable(network.eval(), mean, std, normalize=True)
    file = tmp_path / "pool.tflite"
    convert_on_noise(module, (16, 16), 3, "pool", (file, "{}"), print)
    pixels = np.random.default_rng(1).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
    artifact = LiteRtNetwork(file, threads=1)
    found = np.concatenate([artifact.infer(pixels[i : i + 1]) for i in range(20)])
    with torch.inference_mode():
        expected = module(torch.from_numpy(pixels.astype(np.float32))).numpy()
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.95


def test_no_layer_behind_relu6_stays_in_float(converter, tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    )
    module = Exportable(network.eval(), (0.5,) * 3, (0.25,) * 3, normalize=True)
    path = tmp_path / "net.tflite"
    convert_on_noise(module, (12, 12), 3, "net", (path, "{}"), print)
    kinds = Counter(operator.kind for operator in read_graph(path).operators)
    assert not kinds.keys() & {"RELU6", "TRANSPOSE"}
    assert kinds["DEQUANTIZE"] == 1  # before the softmax


@pytest.mark.parametrize("behind", ["maps", "a linear layer"])
def test_batch_norm(tmp_path, behind):
    torch.manual_seed(0)
    before = nn.ReLU() if behind == "maps" else nn.Sequential(nn.Flatten(), nn.ReLU())
    layer = nn.BatchNorm2d(3, eps=0.1) if behind == "maps" else nn.BatchNorm1d(48, eps=0.1)
    layer.running_mean.normal_()
    layer.running_var.uniform_(0.01, 2)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    model = graph_of(nn.Sequential(before, layer), tmp_path / "b.onnx")
    assert "BatchNormalization" in {node.op_type for node in model.graph.node}
    rewrite_batch_norm(model)
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    images = np.random.default_rng(0).normal(0, 4, (1, 3, 4, 4)).astype(np.float32)
    with torch.no_grad():
        expected = layer(before(torch.from_numpy(images))).numpy()
    found = run(model, images)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_pixels(tmp_path):
    model = graph_of(nn.ReLU(), tmp_path / "p.onnx")
    take_pixels(model)
    images = np.arange(48, dtype=np.uint8).reshape(1, 3, 4, 4) * 5
    assert (run(model, images) == images).all()
