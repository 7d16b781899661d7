"""From a float ONNX graph to LiteRT files, by the converter in its own environment."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from tinyrefinery.deploy.export import litert_layout, litert_script
from tinyrefinery.deploy.export.onnx_rewrites import (
    remove_normalization,
    rewrite_batch_norm,
    rewrite_global_mean,
    rewrite_hard_sigmoid,
    rewrite_max_pool_padding,
    widen_kernels,
)
from tinyrefinery.deploy.export.stated_places import state_places
from tinyrefinery.deploy.export.tool_script import ToolScript
from tinyrefinery.device.file_form import FileForm
from tinyrefinery.device.tool_environment import run_logged, tool_folder, tool_python
from tinyrefinery.errors import RefineryError

METHODS = ("minmax", "percentile99.99", "percentile99.9", "entropy")
"""Calibration methods: the range of values that int8 covers, all of them, this share, or the range
whose steps lose least of the distribution."""
_SCRIPT = ToolScript(litert_script, litert_layout)


@dataclass(frozen=True)
class LiteRtFile:
    """A file to make."""

    file: str
    metadata: str
    """JSON."""
    pixels: bool
    """Whether its input is uint8 pixels; else it is float, or int8, normalized."""
    int8: bool = False
    method: str = ""
    """Of `METHODS`, for int8."""
    floats: tuple[str, ...] = ()
    """Operators of the graph that stay in float, with those that read them."""
    int16: tuple[str, ...] = ()
    """Operators with 16-bit activations, with those that read them."""


def convert_to_litert(
    graph: Path,
    files: Sequence[LiteRtFile],
    images: np.ndarray | None,
    name: str,
    say: Callable[[str], object],
    form: FileForm = FileForm(),  # noqa: B008  it is frozen
) -> None:
    """Write LiteRT files of one graph.

    Args:
        graph: the float graph, from `export_graph`.
        files: what to make; none of them is the artifact.
        images: (n, H, W, C) float32 calibration images, what the graph takes; None: no int8 file.
        name: of the network, for errors.
        say: called with progress messages.
        form: of int8 files. Those with layers that are not in 8 bits normalize by an operator.

    Raises:
        RefineryError: if the converter can't be installed, or can't convert the graph.
    """
    python = tool_python(say)
    log = tool_folder().parent / f"convert-{name}.log"
    with TemporaryDirectory() as place:
        folder = Path(place)
        model = onnx.load(graph)
        rewrite_hard_sigmoid(model)
        rewrite_batch_norm(model)
        rewrite_global_mean(model)
        rewrite_max_pool_padding(model)
        scale = _take_scaled(model, files) if form.scaled and images is not None else None
        if form.wide and images is not None:
            widen_kernels(model)
        onnx.save(model, folder / "graph.onnx")
        request = {
            "graph": str(folder / "graph.onnx"),
            "folder": str(folder / "litert"),
            "artifacts": [asdict(file) for file in files],
            "images": str(folder / "images.npy"),
            "scale": scale,
            "places": form.placed and images is not None,
        }
        if images is not None:
            factor, shift = scale or (1, 0)
            np.save(folder / "images.npy", (images * factor + shift).astype(np.float32))
        (folder / "request.json").write_text(json.dumps(request), "utf-8")
        script = _SCRIPT.write(folder / "script")
        failed = run_logged([str(python), str(script), str(folder / "request.json")], log)
    if failed is not None:
        raise RefineryError(
            f"{name}: can't be converted to LiteRT: {failed}. Nothing was written. The converter's "
            f"log is in {log}"
        )
    log.unlink(missing_ok=True)
    if form.placed and images is not None:
        for file in files:
            state_places(Path(file.file))


def _take_scaled(model: onnx.ModelProto, files: Sequence[LiteRtFile]) -> tuple[float, float] | None:
    """Let the input's scale stand for the normalization, if it can for all files."""
    if all(file.pixels and file.int8 and not file.floats and not file.int16 for file in files):
        return remove_normalization(model)
    return None
