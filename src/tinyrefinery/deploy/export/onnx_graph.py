"""The float ONNX graph of a network: what every target starts from.

The exporter folds batch normalization into the convolution before it, where there is one.
"""

import warnings
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch

from tinyrefinery.deploy.export.exportable import Exportable
from tinyrefinery.errors import RefineryError

INPUT, OUTPUT = "image", "probabilities"
"""Names of the tensors of every artifact."""
_OPSET = 18
"""Of ONNX. Every operator of ours is in it, and ONNX Runtime 1.20 runs it."""
NEEDS = "export needs {}: pip install 'tinyrefinery[onnx]'"


def export_graph(
    module: Exportable, size: tuple[int, int], channels: int, name: str, path: Path
) -> None:
    """Write the float graph of a network for one image per call: (1, H, W, C) -> (1, K).

    Args:
        module: the network.
        size: height and width of its images in pixels.
        channels: of its images.
        name: of the network, for errors.
        path: file to write; it is not the artifact.

    Raises:
        RefineryError: if a package is missing, or a layer of the network has no counterpart.
    """
    image = torch.zeros(1, *size, channels)
    options: dict[str, Any] = {"dynamo": True, "verbose": False, "external_data": False}
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")  # of the exporter
            torch.onnx.export(
                module,
                (image,),
                str(path),
                opset_version=_OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                **options,
            )
    except ImportError as error:
        raise RefineryError(NEEDS.format(error.name or error)) from error
    except Exception as error:  # the exporter raises anything
        raise RefineryError(
            f"{name}: can't be exported to ONNX: {_reason(error)}. Nothing was written"
        ) from error


def _reason(error: BaseException) -> str:
    """The first line of the innermost error, which names the layer."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
