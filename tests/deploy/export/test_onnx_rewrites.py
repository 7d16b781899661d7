"""Rewritten graphs compute what they computed."""

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from tinyrefinery.deploy.export.onnx_rewrites import (
    rewrite_batch_norm,
    rewrite_hard_sigmoid,
    take_pixels,
)


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


def test_batch_norm(tmp_path):
    torch.manual_seed(0)
    layer = nn.BatchNorm2d(3, eps=0.1)
    layer.running_mean.normal_()
    layer.running_var.uniform_(0.01, 2)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    model = graph_of(nn.Sequential(nn.ReLU(), layer), tmp_path / "b.onnx")
    assert "BatchNormalization" in {node.op_type for node in model.graph.node}
    rewrite_batch_norm(model)
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    images = np.random.default_rng(0).normal(0, 4, (1, 3, 4, 4)).astype(np.float32)
    with torch.no_grad():
        expected = layer(torch.from_numpy(images).relu()).numpy()
    np.testing.assert_allclose(run(model, images), expected, rtol=1e-5, atol=1e-6)


def test_pixels(tmp_path):
    model = graph_of(nn.ReLU(), tmp_path / "p.onnx")
    take_pixels(model)
    images = np.arange(48, dtype=np.uint8).reshape(1, 3, 4, 4) * 5
    assert (run(model, images) == images).all()
