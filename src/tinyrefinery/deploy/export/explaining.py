"""List what int8 costs each layer of a network that is exported."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tinyrefinery.deploy.export.layer_effects import EffectImages, LayerEffect, layer_effects
from tinyrefinery.deploy.export.onnx_int8 import METHODS, prepare_onnx, quantize_onnx
from tinyrefinery.files import write_csv

IMAGES = 256
"""Most images that layers are compared on."""
COLUMNS = ("layer", "kind", "snr_db", "divergence", "same_class", "accuracy", "cause", "reason")
"""Of the file of layers; the last column is `remedy`."""


def explain_layers(
    graph: Path,
    calibration: np.ndarray,
    images: EffectImages,
    method: str,
    *,
    pixels: bool,
    say: Callable[[str], object],
) -> list[LayerEffect]:
    """Quantize each layer by itself, with the calibration of the artifact.

    Args:
        graph: the float ONNX graph. The layers of other targets are those of this graph.
        calibration: (n, H, W, C) float32, what the graph takes.
        images: to compare on.
        method: how the artifact was calibrated, by the name of any target. A percentile counts as
            that of ONNX Runtime.
        pixels: whether the graph takes pixels.
        say: called with progress messages.
    """
    known = next((name for name in METHODS if method.startswith(name)), "minmax")
    with TemporaryDirectory() as place:
        prepared, quantized = Path(place) / "prepared.onnx", Path(place) / "quantized.onnx"
        prepare_onnx(graph, prepared)
        quantize_onnx(prepared, quantized, calibration, known, pixels=pixels)
        return layer_effects(prepared, quantized, images, report=say)


def write_layers(artifact: Path, effects: Sequence[LayerEffect]) -> Path:
    """Write the layers to `FILE.layers.csv` beside an artifact."""
    path = artifact.with_name(f"{artifact.name}.layers.csv")
    rows = [
        (
            *(e.layer, e.kind, f"{e.snr:.2f}", f"{e.divergence:.4g}", f"{e.agreement:.4f}"),
            "" if e.accuracy is None else f"{e.accuracy:.4f}",
            *(e.cause.kind, e.cause.reason, e.cause.remedy),
        )
        for e in effects
    ]
    write_csv(path, (*COLUMNS, "remedy"), rows)
    return path
