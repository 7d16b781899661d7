"""Converted files have their channels last, with activations in their convolutions."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from tinyrefinery.deploy.export.exportable import Exportable
from tinyrefinery.deploy.export.litert_conversion import LiteRtFile, convert_to_litert
from tinyrefinery.deploy.export.onnx_graph import export_graph
from tinyrefinery.device.litert_graph import read_graph
from tinyrefinery.models.litert_file import LiteRtNetwork

SIDE = 16


class Gated(nn.Module):
    """Maps times a gate: a number per channel, or per pixel."""

    def __init__(
        self, activation: nn.Module, gate: nn.Module, *, spatial: bool = False, scaled=False
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, 2, 1)
        self.squeeze, self.excite = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.project, self.last = nn.Conv2d(8, 8, 1), nn.Linear(8, 4)
        self.activation, self.gate, self.spatial = activation, gate, spatial
        self.register_buffer("factors", torch.linspace(0.5, 1.5, 8).reshape(1, 8, 1, 1))
        self.scaled = scaled

    def forward(self, images):
        maps = self.activation(self.first(images))
        if self.spatial:
            gate = self.gate(maps.mean(1, keepdim=True))
        else:
            mean = maps.mean((2, 3), keepdim=True)
            inner = self.squeeze(mean * self.factors if self.scaled else mean).relu()
            gate = self.gate(self.excite(inner))
        return 10 * self.last(self.project(maps * gate).mean((2, 3)))


CASES = {
    "hard swish": (nn.Hardswish(), nn.Hardsigmoid(), {}),
    "relu": (nn.ReLU(), nn.Hardsigmoid(), {}),
    "silu": (nn.SiLU(), nn.Sigmoid(), {}),
    "relu6 gate": (nn.ReLU(), nn.ReLU6(), {}),
    "no gate function": (nn.Hardswish(), nn.Identity(), {}),
    "scaled mean": (nn.Hardswish(), nn.Hardsigmoid(), {"scaled": True}),
    "spatial": (nn.Hardswish(), nn.Hardsigmoid(), {"spatial": True}),
}


def pictures(n, seed):
    """(n, H, W, 3) uint8: a color for each picture, and noise."""
    draws = np.random.default_rng(seed)
    colors = draws.integers(0, 206, (n, 1, 1, 3))
    return (colors + draws.integers(0, 50, (n, SIDE, SIDE, 3))).astype(np.uint8)


def converted(network, folder):
    """The float and the int8 file."""
    module = Exportable(network.eval(), (0.5,) * 3, (0.25,) * 3, normalize=True)
    export_graph(module, (SIDE, SIDE), 3, "net", folder / "graph.onnx")
    noise = pictures(64, seed=0).astype(np.float32)
    files = folder / "float.tflite", folder / "int8.tflite"
    wanted = [
        LiteRtFile(str(path), json.dumps({}), pixels=True, int8=int8, method="minmax")
        for path, int8 in zip(files, (False, True), strict=True)
    ]
    convert_to_litert(folder / "graph.onnx", wanted, noise, "net", print)
    return module, files


@pytest.mark.parametrize("name", CASES)
def test_gates(name, tmp_path, converter):
    activation, gate, options = CASES[name]
    torch.manual_seed(2)  # before the network is made: its weights are the same in every run
    network = Gated(activation, gate, **options)
    module, (float_file, int8_file) = converted(network, tmp_path)
    pixels = pictures(8, seed=1)
    with torch.no_grad():
        expected = module(torch.from_numpy(pixels).float()).double().numpy()
    assert np.ptp(np.log(expected), axis=0).max() > 0.3  # else any file would pass
    runs = [LiteRtNetwork(path, threads=1) for path in (float_file, int8_file)]
    found, rounded = (np.concatenate([run.infer(each[None]) for each in pixels]) for run in runs)
    np.testing.assert_allclose(np.log(found), np.log(expected), atol=1e-3)
    np.testing.assert_allclose(rounded, expected, atol=0.05)
    kinds = [operator.kind for operator in read_graph(int8_file).operators]
    if name not in ("spatial", "scaled mean"):
        assert not {"TRANSPOSE", "RELU", "RELU6"} & set(kinds)
        assert kinds.count("DEQUANTIZE") == 1  # before the softmax: nothing else is in float
