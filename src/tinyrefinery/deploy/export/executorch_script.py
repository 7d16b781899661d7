"""Convert to ExecuTorch, or run a file of it. Runs in the tool environment, outside this package.

    python executorch_script.py convert request.json
    python executorch_script.py predict request.json

A request to convert names the exported program of the float network, and for each artifact its
file, metadata and calibration method; int8 artifacts also need the calibration images. A request
to predict names the file, the images and where to write the outputs. Prints nothing of its own:
the caller keeps the tools' prints in a log.
"""

# The packages below are in the tool environment only.
# pyright: reportMissingImports=false, reportMissingModuleSource=false

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

ENTRY, METHOD = "tinyrefinery", "forward"
"""Methods of a file: one gives the metadata, the other is the network."""


def convert(request: dict[str, Any]) -> None:
    """Write every artifact that the request lists."""
    for artifact in request["artifacts"]:
        program = torch.export.load(request["program"])
        if artifact["int8"]:
            images = np.load(request["images"], mmap_mode="r")
            program = quantize(program, images, artifact["method"])
        Path(artifact["file"]).write_bytes(lower(program, artifact["metadata"]))


def quantize(program: Any, images: np.ndarray, method: str) -> Any:
    """The same program with 8-bit weights, one scale per channel, and 8-bit activations."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    taken = program.example_inputs[0][0]
    quantizer = XNNPACKQuantizer().set_global(configuration(method))
    prepared = prepare_pt2e(program.module(), quantizer)
    with torch.no_grad():
        for image in images:
            prepared(torch.from_numpy(image[None].copy()).to(taken.dtype))
    return torch.export.export(convert_pt2e(prepared), (taken,))


def configuration(method: str) -> Any:
    """How activations are calibrated: by their extremes, or by a histogram."""
    from dataclasses import replace

    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer
    from torchao.quantization.pt2e import MinMaxObserver

    histogram = xnnpack_quantizer.get_symmetric_quantization_config(is_per_channel=True)
    if method == "histogram":
        return histogram
    observer = MinMaxObserver.with_args(eps=2**-12)
    changed = {
        name: replace(getattr(histogram, name), observer_or_fake_quant_ctr=observer)
        for name in ("input_activation", "output_activation")
    }
    return replace(histogram, **changed)


def lower(program: Any, metadata: str) -> bytes:
    """The file. XNNPACK computes what it can, the portable kernels compute the rest."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    edge = to_edge_transform_and_lower(
        program, partitioner=[XnnpackPartitioner()], constant_methods={ENTRY: metadata}
    )
    return bytes(edge.to_executorch().buffer)


def predict(request: dict[str, Any]) -> None:
    """Write the outputs (n, K) of a file for images (n, H, W, C), image by image."""
    # The module that users import starts the converter too, which takes far longer than this.
    from executorch.extension.pybindings import _C

    module = _C._load_for_executorch(request["file"])
    images = np.load(request["images"], mmap_mode="r")
    outputs = [
        module.run_method(METHOD, (torch.from_numpy(image[None].copy()),))[0].numpy()
        for image in images
    ]
    np.save(request["outputs"], np.concatenate(outputs))


if __name__ == "__main__":
    actions = {"convert": convert, "predict": predict}
    actions[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text("utf-8")))
