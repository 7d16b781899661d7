"""The files of one target, one per calibration method, in a temporary folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

from tinyrefinery.deploy.export import executorch_conversion, litert_conversion, onnx_int8
from tinyrefinery.deploy.export.artifact_facts import KeptLayers
from tinyrefinery.deploy.export.float_layers import weight_nodes
from tinyrefinery.deploy.export.onnx_rewrites import put_metadata, remove_notes, take_pixels
from tinyrefinery.device.device_cost import device_cost
from tinyrefinery.device.excess import excesses
from tinyrefinery.device.file_form import FileForm
from tinyrefinery.models.runtime_network import ENTRY
from tinyrefinery.options.budget import Budget


@dataclass(frozen=True)
class Files:
    """What the makers of a target need."""

    graph: Path
    """The float ONNX graph. The program of torch lies beside it, if ExecuTorch is a target."""
    folder: Path
    """Where to write."""
    images: np.ndarray | None = field(repr=False)
    """(n, H, W, C) float32 calibration images; None: make a float file."""
    metadata: Callable[[str], str]
    """The JSON of our entry for a calibration method; "" for float."""
    pixels: bool
    """Whether the input is uint8 pixels."""
    name: str
    """Of the network, for errors and logs."""
    kept: KeptLayers = field(default_factory=KeptLayers)
    """Layers of an int8 file that are not in 8 bits."""
    budget: Budget = field(default_factory=Budget)
    """Of an int8 LiteRT file."""
    forms: tuple[FileForm, ...] = (FileForm(),)
    """Of an int8 LiteRT file: the first one that keeps the budget, else the first."""


def make(target: str, files: Files, say: Callable[[str], object]) -> dict[str, Path]:
    """Files of a target by calibration method; "" for float.

    Raises:
        RefineryError: if the target can't hold the network.
    """
    if target == "onnx":
        return _make_onnx(files)
    return _make_litert(files, say) if target == "litert" else _make_executorch(files, say)


def _make_onnx(files: Files) -> dict[str, Path]:
    """ONNX files by calibration method."""
    methods = [""] if files.images is None else list(onnx_int8.METHODS)
    made, prepared = {}, files.folder / "prepared.onnx"
    if files.images is not None:
        onnx_int8.prepare_onnx(files.graph, prepared)
    for method in methods:
        path, source = files.folder / f"artifact{method}.onnx", files.graph
        if files.images is not None:
            source = files.folder / f"quantized{method}.onnx"
            onnx_int8.quantize_onnx(
                prepared,
                source,
                files.images,
                method,
                pixels=files.pixels,
                floats=files.kept.floats,
            )
        model = onnx.load(source)
        if files.pixels:
            take_pixels(model)
        remove_notes(model)
        put_metadata(model, {ENTRY: files.metadata(method)})
        onnx.checker.check_model(model)
        onnx.save(model, path)
        made[method] = path
    return made


def _make_litert(files: Files, say: Callable[[str], object]) -> dict[str, Path]:
    """LiteRT files by calibration method, in the first form that keeps the budget."""
    first = _make_form(files, files.forms[0], files.folder, say)
    if files.images is None or _is_within(first, files.budget):
        return first
    for number, form in enumerate(files.forms[1:], start=1):
        folder = files.folder / f"form{number}"
        folder.mkdir()
        made = _make_form(files, form, folder, say)
        if _is_within(made, files.budget):
            return made
    return first


def _is_within(made: Mapping[str, Path], budget: Budget) -> bool:
    """All files of one form cost the same."""
    return not excesses(budget, device_cost(next(iter(made.values()))))


def _make_form(
    files: Files, form: FileForm, folder: Path, say: Callable[[str], object]
) -> dict[str, Path]:
    is_int8 = files.images is not None
    methods = litert_conversion.METHODS if is_int8 else ("",)
    made = {method: folder / f"artifact{method}.tflite" for method in methods}
    model = onnx.load(files.graph)
    floats, int16 = (
        tuple(weight_nodes(model, layers)) for layers in (files.kept.floats, files.kept.int16)
    )
    wanted = [
        litert_conversion.LiteRtFile(
            str(path), files.metadata(method), files.pixels, is_int8, method, floats, int16
        )
        for method, path in made.items()
    ]
    litert_conversion.convert_to_litert(files.graph, wanted, files.images, files.name, say, form)
    return made


def _make_executorch(files: Files, say: Callable[[str], object]) -> dict[str, Path]:
    """ExecuTorch files by calibration method."""
    is_int8 = files.images is not None
    methods = executorch_conversion.METHODS if is_int8 else ("",)
    made = {method: files.folder / f"artifact{method}.pte" for method in methods}
    wanted = [
        executorch_conversion.ExecuTorchFile(str(path), files.metadata(method), is_int8, method)
        for method, path in made.items()
    ]
    program = executorch_conversion.program_file(files.graph)
    executorch_conversion.convert_to_executorch(program, wanted, files.images, files.name, say)
    return made
