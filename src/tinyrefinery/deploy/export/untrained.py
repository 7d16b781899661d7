"""Convert networks to int8 LiteRT files for their cost alone, without images.

Neither cost nor latency depends on the values of the weights or on the calibration, so the
calibration images are noise.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tinyrefinery.deploy.export.exportable import Exportable
from tinyrefinery.deploy.export.litert_conversion import LiteRtFile, convert_to_litert
from tinyrefinery.deploy.export.onnx_graph import export_graph
from tinyrefinery.device.file_form import FileForm

CALIBRATION = 4
"""Noise images."""
METADATA = json.dumps(" " * 4096)
"""Room for the metadata of an untrained network, whose classes are not known."""


def convert_on_noise(
    module: Exportable,
    size: tuple[int, int],
    channels: int,
    name: str,
    file: tuple[Path, str],
    say: Callable[[str], object],
    form: FileForm = FileForm(),  # noqa: B008  it is frozen
) -> None:
    """Write an int8 LiteRT file.

    Args:
        module: the network.
        size: height and width of its images in pixels.
        channels: of its images.
        name: of the network, for errors.
        file: where to write it, and its metadata as JSON.
        say: called with progress messages.
        form: of the file.

    Raises:
        RefineryError: if it can't be converted.
    """
    target, metadata = file
    shape = (CALIBRATION, *size, channels)
    noise = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    graph = target.with_suffix(".graph.onnx")
    export_graph(module, size, channels, name, graph)
    wanted = LiteRtFile(str(target), metadata, pixels=True, int8=True, method="minmax")
    convert_to_litert(graph, [wanted], noise, name, say, form)
