"""Write `tflm_outputs.npz`: what LiteRT for Microcontrollers computes for the files of `CASES`.

    python -m tests.deploy.integer.make_tflm_outputs PYTHON

PYTHON is an interpreter that has the package `tflite_micro`. The outputs in the repository are of
tflite-micro 0.dev20261023182759, x86-64, reference kernels. The three files with names of MLPerf
Tiny and Wake Vision are read from `$TINYREFINERY_TEST_DATA/tflite`; only their outputs are kept.
"""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tests.deploy.integer.int8_files import CASES, write_case
from tinyrefinery.deploy.integer.integer_lowering import plan_network

FOLDER = Path(__file__).parent
REAL = (
    "mlperf_tiny_pretrainedResnet_quant",
    "mlperf_tiny_vww_96_int8",
    "wake_vision_mohammad_hallaq",
)
IMAGES = 6
RUN = """
import sys
import numpy as np
from tflite_micro.python.tflite_micro import runtime
model, images, outputs = sys.argv[1:]
interpreter = runtime.Interpreter.from_file(model, arena_size=8_000_000)
rows = []
for image in np.load(images):
    interpreter.set_input(image[None], 0)
    interpreter.invoke()
    rows.append(np.array(interpreter.get_output(0)).ravel())
np.save(outputs, np.stack(rows))
"""


def images_for(path: Path) -> np.ndarray:
    """Noise, half of it coarse, as a file takes it."""
    plan = plan_network(path)
    height, width, channels = plan.input_shape
    draws = np.random.RandomState(7)  # its stream is frozen, unlike that of newer generators
    half = (IMAGES // 2, -(-height // 6), -(-width // 6), channels)
    coarse = draws.randint(0, 256, half, np.uint8).repeat(6, 1).repeat(6, 2)
    fine = draws.randint(0, 256, (IMAGES // 2, height, width, channels), np.uint8)
    pixels = np.concatenate([coarse[:, :height, :width], fine])
    return pixels if plan.input_type == "uint8" else (pixels ^ 128).view(np.int8)


def main(python: str) -> None:
    """Compute and write all outputs."""
    data = Path(os.environ["TINYREFINERY_TEST_DATA"]) / "tflite"
    arrays: dict[str, np.ndarray] = {}
    with TemporaryDirectory() as place:
        folder = Path(place)
        files = {name: data / f"{name}.tflite" for name in REAL}
        for name in CASES:
            files[name] = write_case(name, folder / f"{name}.tflite")
            arrays[f"{name}.file"] = np.frombuffer(files[name].read_bytes(), np.uint8)
        for name, path in files.items():
            np.save(folder / "in.npy", images_for(path))
            command = [python, "-c", RUN, path, folder / "in.npy", folder / "out.npy"]
            subprocess.run(command, check=True)
            arrays[f"{name}.outputs"] = np.load(folder / "out.npy")
    np.savez_compressed(FOLDER / "tflm_outputs.npz", **arrays)


if __name__ == "__main__":
    main(sys.argv[1])
