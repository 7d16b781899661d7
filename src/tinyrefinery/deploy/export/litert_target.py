"""LiteRT artefacts: float, and static int8 per channel. Converted in an environment of its own.

The float artefact takes pixels (1, H, W, C) uint8. The int8 artefact takes int8, `pixel - 128`, as
microcontrollers do: scale 1 and zero point -128 state it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tinyrefinery.deploy.export.deployable import Deployable
from tinyrefinery.deploy.export.runtime import prepared
from tinyrefinery.deploy.export.target import Sources
from tinyrefinery.deploy.export.to_onnx import write_onnx
from tinyrefinery.deploy.export.tool_environment import (
    ToolError,
    cache_folder,
    run_logged,
    tool_python,
)
from tinyrefinery.errors import DataError
from tinyrefinery.models.litert_file import ENTRY

_HERE = Path(__file__).parent
_SCRIPT, _PINS = _HERE / "litert_script.py", _HERE / "litert_tools.txt"


def float_litert(sources: Sources, path: Path) -> None:
    """Write the float artefact.

    Raises:
        DataError: if the network can't be converted.
    """
    dtype = torch.uint8 if sources.inside else torch.float32
    _convert(sources, path, dtype, {"precision": "float32"})


def int8_litert(sources: Sources, float_file: Path, path: Path) -> None:
    """Write the int8 artefact, calibrated on training images.

    Raises:
        DataError: if the network can't be quantized.
    """
    assert sources.calibration is not None
    real = path.with_name(f"real-{path.name}")  # its input is real numbers, to be quantized
    _convert(sources, real, torch.float32, {})
    images = prepared(_spanning(sources.calibration.pixels), sources.facts)
    calibration = path.with_name("calibration.npy")
    np.save(calibration, images.transpose(0, 2, 3, 1))  # (N, C, h, w) -> (N, h, w, C)
    job = {"float": str(real), "calibration": str(calibration)}
    facts = {"precision": "int8", "calibration": "minmax", "calibration_images": len(images)}
    _run(job, path, dict(sources.facts) | facts | {"format": "litert"}, sources.network.name)
    real.unlink()


def _spanning(pixels: np.ndarray) -> np.ndarray:
    """The images, two pixels of the first of which are set to 0 and 255.

    So the quantized input stands for exactly the pixels 0 to 255.
    """
    pixels = pixels.copy()
    pixels[0, 0, 0], pixels[0, -1, -1] = 0, 255
    return pixels


def _convert(sources: Sources, path: Path, dtype: torch.dtype, facts: Mapping[str, Any]) -> None:
    network = sources.network
    wrapped = Deployable(sources.module, network.info, inside=sources.inside, channels_last=False)
    graph = path.with_suffix(".convert.onnx")
    example = sources.example(channels_last=False, dtype=dtype)
    write_onnx(wrapped.eval(), example, graph, name=network.name, any_batch=False)
    stated = {**sources.facts, **facts, "format": "litert"}
    _run({"onnx": str(graph)}, path, stated, network.name)
    graph.unlink()


def _run(job: Mapping[str, str], out: Path, facts: Mapping[str, Any], name: str) -> None:
    """Do a job in the tool environment."""
    python = tool_python("litert", _PINS)
    described = {"out": str(out), "entry": ENTRY, "metadata": json.dumps(facts, sort_keys=True)}
    file = out.with_suffix(".job.json")
    file.write_text(json.dumps({**job, **described}))
    try:
        run_logged([str(python), str(_SCRIPT), str(file)], cache_folder() / "litert-convert.log")
    except ToolError as error:
        work = "converted to LiteRT" if "onnx" in job else "quantized for LiteRT"
        raise DataError(f"{name}: can't be {work} ({error.last_line}). Log: {error.log}") from error
