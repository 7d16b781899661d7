"""The time of each layer of an ONNX file, from the profile of ONNX Runtime.

The Python packages of LiteRT and ExecuTorch report no times of operators.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from tinyrefinery.device.host_latency import noise_for
from tinyrefinery.models.onnx_file import OnnxNetwork

WARM_UP = 5
"""Passes that are not counted."""
_KERNEL = "_kernel_time"
"""How the profile ends the name of a node's time."""


@dataclass(frozen=True)
class LayerTime:
    """One operator of a file, as the runtime fused it."""

    layer: str
    """Name of its node in the optimized graph."""
    kind: str
    """Operator."""
    milliseconds: float
    """Median over passes."""
    share: float
    """Of the time of all operators, 0 to 1."""


def layer_times(path: Path, passes: int) -> list[LayerTime]:
    """Time each operator of an ONNX file, one thread, one image of noise per pass.

    Profiling makes a pass slower. The times are for comparing operators with each other.

    Args:
        path: the file.
        passes: counted passes.

    Returns:
        The most expensive operator first.

    Raises:
        CheckpointError: if the file can't be opened.
    """
    import onnxruntime

    network = OnnxNetwork(path, threads=1)  # checks the file and its input
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.enable_profiling = True
    with TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        providers = ["CPUExecutionProvider"]
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        image = noise_for(network)
        for _ in range(WARM_UP + passes):
            session.run(None, {network.input.name: image})
        events = json.loads(Path(session.end_profiling()).read_text("utf-8"))
    return _by_layer(events)


def _by_layer(events: list[dict[str, Any]]) -> list[LayerTime]:
    """Medians of the kernels' times, which the profile has in microseconds."""
    times: dict[tuple[str, str], list[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL):
            layer = event["name"].removesuffix(_KERNEL)
            times.setdefault((layer, event["args"]["op_name"]), []).append(event["dur"] / 1000)
    medians = {key: median(of_layer[WARM_UP:]) for key, of_layer in times.items()}
    total = sum(medians.values()) or 1.0
    found = [LayerTime(*key, time, time / total) for key, time in medians.items()]
    return sorted(found, key=lambda each: -each.milliseconds)
