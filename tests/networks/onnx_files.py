"""ONNX files as exporters make them: float, quantized to 8 bits, with and without metadata."""

import json
import warnings
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from torch import nn

from tests.networks.runs import CLASSES, network_of


def export(network: nn.Module, path: Path, batch: int | None = None) -> Path:
    """A float file of grey images of 16x16 that takes so many at once; None: any number."""
    dynamic = None if batch else ({0: torch.export.Dim("batch")},)
    images = torch.zeros(batch or 2, 1, 16, 16)
    options = {"dynamo": True, "verbose": False, "external_data": False}
    torch.onnx.export(network.eval(), (images,), str(path), dynamic_shapes=dynamic, **options)
    return path


def describe(path: Path, **facts) -> Path:
    """Write the metadata that our own tools leave."""
    model = onnx.load(path)
    entry = model.metadata_props.add()
    entry.key, entry.value = "tinyrefinery", json.dumps(facts)
    onnx.save(model, path)
    return path


def quantize(path: Path, out: Path, images: np.ndarray) -> Path:
    """The QDQ file of a float file, calibrated on normalized images (N, C, h, w) float32."""
    reader = Reader(onnx.load(path).graph.input[0].name, images)
    quantize_static(path, out, reader, quant_format=QuantFormat.QDQ)
    return out


class Reader(CalibrationDataReader):
    """Hands out images one by one."""

    def __init__(self, name: str, images: np.ndarray) -> None:
        self.name, self.left = name, list(images)

    def get_next(self):
        """The next input, None at the end."""
        return {self.name: self.left.pop()[None]} if self.left else None


@lru_cache(maxsize=2)
def exported(name: str) -> tuple[bytes, bytes]:
    """Float file and QDQ file of the network of a name; they are made once, in seconds."""
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of exporter and quantizer
        path = export(network_of(name, CLASSES), Path(folder) / "float.onnx")
        # Too faint: bright pixels are clipped, so that the two files differ in some answers.
        images = np.random.default_rng(0).normal(0, 0.3, (8, 1, 16, 16)).astype(np.float32)
        small = quantize(path, Path(folder) / "int8.onnx", images)
        return path.read_bytes(), small.read_bytes()
