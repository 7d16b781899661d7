"""ONNX artefacts: float, and int8 with the calibration that does best on validation images."""

import logging
from pathlib import Path

import numpy as np
import torch

from tinyrefinery.deploy.export.deployable import Deployable
from tinyrefinery.deploy.export.int8_onnx import METHODS, quantize_onnx
from tinyrefinery.deploy.export.runtime import Artefact, prepared
from tinyrefinery.deploy.export.target import Sources
from tinyrefinery.deploy.export.to_onnx import describe_onnx, write_onnx

log = logging.getLogger("tinyrefinery")


def float_onnx(sources: Sources, path: Path) -> None:
    """Write the float artefact: pixels (N, H, W, C) uint8 in, or normalized images (N, C, H, W)."""
    inside, network = sources.inside, sources.network
    wrapped = Deployable(sources.module, network.info, inside=inside, channels_last=inside)
    dtype = torch.uint8 if inside else torch.float32
    example = sources.example(channels_last=inside, dtype=dtype)
    write_onnx(wrapped.eval(), example, path, name=network.name)
    describe_onnx(path, dict(sources.facts) | {"format": "onnx", "precision": "float32"})


def int8_onnx(sources: Sources, float_file: Path, path: Path) -> None:
    """Quantize the float artefact by each method of calibration, and keep the most accurate.

    Accuracy is that on the images that parity is measured on. Of equals, the one whose
    probabilities are nearest to the float artefact's is kept.
    """
    assert sources.calibration is not None
    pixels, measured = sources.calibration.pixels, sources.measured
    inputs = pixels if sources.inside else prepared(pixels, sources.facts)
    expected = Artefact(float_file).probabilities(measured.pixels)
    scores: dict[str, tuple[float, float]] = {}
    for method in METHODS:
        candidate = path.with_name(f"{method}-{path.name}")
        quantize_onnx(float_file, candidate, inputs, method)
        found = Artefact(candidate).probabilities(measured.pixels)
        right = float((found.argmax(axis=1) == measured.labels).mean())
        scores[method] = right, -float(np.abs(found - expected).mean())
    best = max(METHODS, key=scores.__getitem__)
    found = ", ".join(f"{name} {100 * scores[name][0]:.2f} %" for name in METHODS)
    log.info(f"calibration: {best} is kept. Accuracy on {measured.split}: {found}")
    path.with_name(f"{best}-{path.name}").replace(path)
    facts = {"format": "onnx", "precision": "int8", "calibration": best}
    count = {"calibration_images": len(pixels)}
    describe_onnx(path, {**sources.facts, **facts, **count})
