"""The files of `tflm_outputs.npz`, their images, and what LiteRT for Microcontrollers computed."""

from pathlib import Path

import numpy as np

from tests.deploy.integer.make_tflm_outputs import FOLDER, images_for
from tests.real import real_data

_OUTPUTS = dict(np.load(FOLDER / "tflm_outputs.npz"))


def tflm_case(name: str, folder: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    """The file, images (n, H, W, C) and outputs (n, K) of a case or a real network."""
    if f"{name}.file" in _OUTPUTS:
        path = folder / f"{name}.tflite"
        path.write_bytes(_OUTPUTS[f"{name}.file"].tobytes())
    else:
        path = real_data(f"tflite/{name}.tflite")
    return path, images_for(path), _OUTPUTS[f"{name}.outputs"]
