"""Static int8 quantization of ONNX files by ONNX Runtime: QDQ, per channel, U8 activations."""

from pathlib import Path
from typing import Any

import numpy as np

from tinyrefinery.deploy.export.to_onnx import INPUT, quiet
from tinyrefinery.errors import DataError

METHODS = ("minmax", "percentile", "entropy")
"""How the ranges of activations are calibrated."""
_BEFORE_NETWORK = ("Cast", "Transpose", "Mul", "Add", "Sub", "Div")
_AT_ONCE = 16
"""Images per calibration step: their activations are kept in memory."""


def quantize_onnx(source: Path, target: Path, inputs: np.ndarray, method: str) -> None:
    """Write the int8 file of a float file. Pre-processing and softmax stay float.

    Args:
        source: the float file.
        target: the file to write.
        inputs: (N, ...) calibration inputs, as the file takes them.
        method: one of `METHODS`.

    Raises:
        DataError: if ONNX Runtime can't quantize the file.
    """
    import onnx
    from onnxruntime import quantization as q

    kinds = {
        "minmax": q.CalibrationMethod.MinMax,
        "percentile": q.CalibrationMethod.Percentile,
        "entropy": q.CalibrationMethod.Entropy,
    }
    kept = _kept_in_float(onnx.load(str(source)).graph)
    try:
        with quiet():
            q.quantize_static(
                str(source),
                str(target),
                _reader(inputs),
                quant_format=q.QuantFormat.QDQ,
                per_channel=True,
                activation_type=q.QuantType.QUInt8,
                weight_type=q.QuantType.QInt8,
                calibrate_method=kinds[method],
                nodes_to_exclude=kept,
            )
    except Exception as error:  # the quantizer raises anything
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{source.name}: ONNX Runtime can't quantize it: {first}") from error


def _kept_in_float(graph: Any) -> list[str]:
    """Names of the nodes between the input and the first layer, and of softmax."""
    kept = [node.name for node in graph.node if node.op_type == "Softmax"]
    value = INPUT
    while True:
        users = [node for node in graph.node if value in node.input]
        if len(users) != 1 or users[0].op_type not in _BEFORE_NETWORK:
            return kept
        kept.append(users[0].name)
        value = users[0].output[0]


def _reader(inputs: np.ndarray) -> Any:
    """Calibration images in small batches, each handed out once."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        """Hands out batches until none is left."""

        def __init__(self) -> None:
            self.start = 0

        def get_next(self) -> dict[str, np.ndarray] | None:  # pyright: ignore
            """The next batch; None at the end."""
            batch = inputs[self.start : self.start + _AT_ONCE]
            self.start += _AT_ONCE
            return {INPUT: batch} if len(batch) else None

    return Reader()
