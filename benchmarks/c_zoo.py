"""C sources of untrained networks against LiteRT for Microcontrollers: how many outputs differ.

    python benchmarks/c_zoo.py docs/results/c_zoo.csv PYTHON [NAME ...]

PYTHON is an interpreter that has the package `tflite_micro`. Each network has random weights, batch
normalization with statistics of noise, and 10 classes, and becomes an int8 LiteRT file. Its
integers are computed as the C source does, for 6 images of noise, half of it coarse. An output
differs if it does by more than 1e-6, which is a rounding of the last softmax. Operators are counted
in the file.
"""

import csv
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from tests.deploy.integer.make_tflm_outputs import RUN, images_for
from tinyrefinery.deploy.export.exportable import Exportable
from tinyrefinery.deploy.export.untrained import convert_on_noise
from tinyrefinery.deploy.integer.integer_lowering import plan_network
from tinyrefinery.deploy.integer.integer_run import run_plan
from tinyrefinery.device.device_cost import device_cost
from tinyrefinery.device.litert_graph import read_graph
from tinyrefinery.labels.batch_norm import recalibrate
from tinyrefinery.models import create

NAMES = ("skipblocknet_xs", "timm:mobilenetv3_small_050", "timm:ghostnet_050")
NAMES += ("timm:efficientnet_b0", "timm:mnasnet_small")
COLUMNS = ("network", "pixels", "outputs", "different", "largest", "operators", "transpositions")
COLUMNS += ("flash", "head", "tail")
SIZE, ROUNDING = 64, 1e-6


def main(out: Path, python: str, names: list[str]) -> None:
    """Compare the networks, and write a row for each."""
    with out.open("w", newline="") as file, TemporaryDirectory() as place:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(COLUMNS)
        for name in names or NAMES:
            lines.writerow((name, SIZE, *_compared(name, python, Path(place))))
            file.flush()


def _compared(name: str, python: str, folder: Path) -> tuple[int | str, ...]:
    """The other columns of a network."""
    torch.manual_seed(0)
    network = create(name, 10, size=SIZE)
    recalibrate(network, [torch.randn(8, 3, SIZE, SIZE)])
    module = Exportable(network.eval(), (0.5,) * 3, (0.25,) * 3, normalize=True)
    path, images, theirs = (folder / each for each in ("net.tflite", "in.npy", "out.npy"))
    convert_on_noise(module, (SIZE, SIZE), 3, "net", (path, "{}"), print)
    np.save(images, images_for(path))
    subprocess.run([python, "-c", RUN, path, images, theirs], check=True)
    expected = np.load(theirs)
    found = run_plan(plan_network(path), np.load(images)).reshape(expected.shape)
    differences = np.abs(found.astype(np.float64) - expected)
    kinds = [operator.kind for operator in read_graph(path).operators]
    cost = device_cost(path)
    differing = int((differences > ROUNDING).sum())
    counted = (expected.size, differing, f"{differences.max():.1e}", len(kinds))
    return (*counted, kinds.count("TRANSPOSE"), cost.flash, cost.arena.head, cost.arena.tail)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
