"""Static int8 quantization of an ONNX graph: per channel, as quantize and dequantize pairs."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, cast

import numpy as np

from tinyrefinery.deploy.export.onnx_graph import INPUT, NEEDS
from tinyrefinery.errors import RefineryError, look_up

METHODS = {"minmax": "MinMax", "percentile": "Percentile", "entropy": "Entropy"}
"""Calibration methods: our names, and those of ONNX Runtime."""
HISTOGRAM_IMAGES = 64
"""Most images of percentile and entropy: the calibrator keeps the activations of all images."""


def prepare_onnx(graph: Path, prepared: Path) -> None:
    """Write a float graph as it is quantized: constants folded, shapes known.

    Raises:
        RefineryError: if a package is missing.
    """
    try:
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise RefineryError(NEEDS.format(error.name or error)) from error
    with _silence():
        quant_pre_process(str(graph), str(prepared), skip_symbolic_shape=True)


def quantize_onnx(
    prepared: Path,
    out: Path,
    images: np.ndarray,
    method: str,
    *,
    pixels: bool,
    floats: Sequence[str] = (),
) -> None:
    """Quantize weights and activations of a float graph.

    Activations are uint8 and weights int8 with one scale per output channel: the types that ONNX
    Runtime is fastest with.

    Args:
        prepared: the float graph, from `prepare_onnx`.
        out: file to write; it is not the artifact.
        images: (n, H, W, C) float32, what the graph takes.
        method: one of `METHODS`.
        pixels: whether the images are pixels, 0 to 255. Their integers are then the pixels.
        floats: layers that stay in float, with those that read them.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    if method != "minmax":
        images = images[:HISTOGRAM_IMAGES]
    ranges = {INPUT: [{"rmin": np.float32(0), "rmax": np.float32(255)}]} if pixels else {}
    chosen = getattr(CalibrationMethod, look_up("calibration method", method, METHODS))
    with _silence():
        quantize_static(
            str(prepared),
            str(out),
            cast(Any, _Reader(images)),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=chosen,
            extra_options={"TensorQuantOverrides": ranges},
            nodes_to_exclude=_kept(prepared, floats),
        )


@contextmanager
def _silence() -> Iterator[None]:
    """Without the quantizer's prints. It also warns about its own previous step."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        logger.setLevel(level)


def _kept(graph: Path, floats: Sequence[str]) -> list[str]:
    """Names of the nodes that stay in float: softmax, whose 8 bits would tie, and these layers."""
    import onnx

    from tinyrefinery.deploy.export.float_layers import float_nodes

    model = onnx.load(graph, load_external_data=False)
    softmax = [node.name for node in model.graph.node if node.op_type == "Softmax"]
    return softmax + (float_nodes(model, floats) if floats else [])


class _Reader:
    """Gives out the calibration images one by one, as ONNX Runtime asks for them."""

    def __init__(self, images: np.ndarray) -> None:
        self.images, self.next = images, 0

    def get_next(self) -> Any:
        """The next input; None at the end."""
        if self.next == len(self.images):
            return None
        self.next += 1
        return {INPUT: self.images[self.next - 1 : self.next]}

    def rewind(self) -> None:
        """Start again."""
        self.next = 0
