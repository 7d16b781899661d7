"""How exact float artifacts are: every architecture, ONNX and LiteRT, against PyTorch.

    python benchmarks/export_exactness.py docs/results/export_exactness.csv [NAME ...]

Weights are random, and batch normalization has statistics of noise. Each row is added when it is
measured, and rows that are there are not measured again.
"""

import csv
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from tinyrefinery import export
from tinyrefinery.labels.batch_norm import has_batch_norm, recalibrate
from tinyrefinery.models import MODELS, create
from tinyrefinery.models.network_file import save_network

TIMM = ("mobilenetv2_050", "mobilenetv3_small_100", "efficientnet_lite0", "efficientnet_b0")
TIMM += ("resnet18", "mnasnet_small", "ghostnet_050")
NAMES = (*MODELS, *(f"timm:{name}" for name in TIMM))
SIZES = {"alexnet": 96, "densenet_k12": 32, "street_cnn": 32, "resnet8": 32}
COLUMNS = ("network", "pixels", "target", "n", "difference", "bound", "verdict")


def untrained(name: str, file: Path) -> int:
    """Write the file of an untrained network; its size in pixels."""
    size = SIZES.get(name, 64)
    torch.manual_seed(0)
    network = create(name, 10, size=size)
    if has_batch_norm(network):
        recalibrate(network, [torch.randn(8, 3, size, size)])
    facts = {"classes": [str(number) for number in range(10)], "size": (size, size)}
    facts |= {"channels": 3, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    save_network(file, network.eval(), name=name, kwargs={}, **facts)
    return size


def main(out: Path, names: list[str]) -> None:
    """Measure what the file lacks."""
    torch.set_num_threads(1)
    there = out.exists()
    done = {row["network"] for row in csv.DictReader(out.open())} if there else set()
    with out.open("a", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        if not there:
            lines.writerow(COLUMNS)
        for name in (name for name in names or NAMES if name not in done):
            with TemporaryDirectory() as place:
                network = Path(place) / "network.safetensors"
                size = untrained(name, network)
                for target, exported in zip(
                    ("onnx", "litert"),
                    export(network, ["onnx", "litert"], folder=place),
                    strict=True,
                ):
                    parity = exported.parity
                    facts = (parity.n, f"{parity.logit:.1e}", f"{parity.bound:.1e}", parity.verdict)
                    lines.writerow((name, size, target, *facts))
            file.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
