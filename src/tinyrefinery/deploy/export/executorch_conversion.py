"""From a network to ExecuTorch files, by the converter in its own environment."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from tinyrefinery.deploy.export.executorch_runtime import run_executorch
from tinyrefinery.deploy.export.exportable import Exportable
from tinyrefinery.errors import RefineryError

METHODS = ("minmax", "histogram")
"""Calibration methods: the range of values that int8 covers is that of all values, or the one with
the least squared error on their histogram."""


@dataclass(frozen=True)
class ExecuTorchFile:
    """A file to make."""

    file: str
    metadata: str
    """JSON."""
    int8: bool = False
    method: str = ""
    """Of `METHODS`, for int8."""


class _TakingPixels(nn.Module):
    """A network of float pixels, for uint8 ones."""

    def __init__(self, network: Exportable) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """uint8 images (B, H, W, C) -> probabilities (B, K)."""
        return self.network(images.to(torch.float32))


def program_file(graph: Path) -> Path:
    """Where the exported program of a network lies: beside its ONNX graph."""
    return graph.with_suffix(".pt2")


def export_program(
    module: Exportable,
    size: tuple[int, int],
    channels: int,
    name: str,
    path: Path,
    *,
    pixels: bool,
) -> None:
    """Write the float network as a program of torch: one image (1, H, W, C) -> (1, K).

    Args:
        module: the network.
        size: height and width of its images in pixels.
        channels: of its images.
        name: of the network, for errors.
        path: file to write; it is not the artifact.
        pixels: whether images are uint8 pixels; else they are float, normalized.

    Raises:
        RefineryError: if torch can't export it.
    """
    image = torch.zeros(1, *size, channels, dtype=torch.uint8 if pixels else torch.float32)
    network = (_TakingPixels(module) if pixels else module).eval()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of the exporter
            torch.export.save(torch.export.export(network, (image,)), path)
    except Exception as error:  # the exporter raises anything
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RefineryError(
            f"{name}: torch can't export it for ExecuTorch: {reason}. Nothing was written"
        ) from error


def convert_to_executorch(
    program: Path,
    files: Sequence[ExecuTorchFile],
    images: np.ndarray | None,
    name: str,
    say: Callable[[str], object],
) -> None:
    """Write ExecuTorch files of one network.

    Args:
        program: the float network, from `export_program`.
        files: what to make; none of them is the artifact.
        images: (n, H, W, C) float32 calibration images, pixels or normalized as the network takes
            them; None: no int8 file.
        name: of the network, for errors.
        say: called with progress messages.

    Raises:
        RefineryError: if the converter can't be installed, or can't convert the network.
    """
    with TemporaryDirectory() as place:
        request = {
            "program": str(program),
            "artifacts": [asdict(file) for file in files],
            "images": str(Path(place) / "images.npy"),
        }
        if images is not None:
            np.save(request["images"], images)
        failed = run_executorch("convert", request, name, say)
    if failed is not None:
        raise RefineryError(
            f"{name}: can't be converted to ExecuTorch: {failed}. Nothing was written"
        )
