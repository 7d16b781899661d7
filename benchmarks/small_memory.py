"""What the forms of an int8 LiteRT file change: RAM and multiply-accumulates, before and after.

    python benchmarks/small_memory.py docs/results/small_memory.csv

Before: an operator normalizes, no activation has a stated place, kernels are as in the network.
After: all three ways of `FileForm`. The networks are untrained and have four classes. RAM is the
arena as `device_cost` computes it from the file. Prints also how many families of `fit` keep a
budget, by foretold cost.
"""

import csv
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from tinyrefinery.deploy.export.exportable import Exportable
from tinyrefinery.deploy.export.untrained import METADATA, convert_on_noise
from tinyrefinery.device.device_cost import DeviceCost, device_cost
from tinyrefinery.device.file_form import FileForm
from tinyrefinery.device.foretell import foretell_cost
from tinyrefinery.fitting.search_space import MEAN, STD, Family, feasible, foretold
from tinyrefinery.models import create
from tinyrefinery.options.budget import Budget

BEFORE, AFTER = FileForm(placed=False), FileForm(scaled=True, wide=True)
CLASSES = 4
NETWORKS: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("mobilenet_v1_025", 96, {"stem": "imagenet"}),
    ("mobilenet_tiny", 96, {"stem": "imagenet", "depth": 2, "width": 0.5}),
    ("resnet8", 64, {"stem": "small"}),
)
BUDGETS = (Budget(flash=100_000, ram=64_000), Budget(flash=250_000, ram=100_000))
COLUMNS = ("network", "pixels", "ram_before", "ram_after", "macs_before", "macs_after")


def cost_before(family: Family, width: float, size: tuple[int, int]) -> DeviceCost:
    """At most what a file of the form before costs."""
    with torch.device("meta"):
        options = family.options(width)
        network = create(family.model, CLASSES, size=size, channels=3, **options)
    return foretell_cost(network, size, 3, [""] * CLASSES, BEFORE)


def count_families() -> None:
    """Print how many families fit, before and after."""
    for budget in BUDGETS:
        after = foretold([""] * CLASSES, 3, budget)
        for side in (96, 128):
            kept = [feasible([(side, side)], budget, cost)[0] for cost in (cost_before, after)]
            before, now = (len({each.family for each in one}) for one in kept)
            print(
                f"{budget.flash} bytes of flash, {budget.ram} of RAM, {side} px: {before} -> {now}"
            )


def main(out: Path) -> None:
    """Convert each network in both forms and write the rows."""
    rows = []
    for name, side, options in NETWORKS:
        torch.manual_seed(0)
        network = create(name, CLASSES, size=side, **options).eval()
        module = Exportable(network, (MEAN,) * 3, (STD,) * 3, normalize=True)
        costs = []
        with TemporaryDirectory() as place:
            for form in (BEFORE, AFTER):
                file = Path(place) / "network.tflite"
                convert_on_noise(module, (side, side), 3, name, (file, METADATA), print, form)
                costs.append(device_cost(file))
        rams, macs = [cost.ram for cost in costs], [cost.macs for cost in costs]
        rows.append((f"{name} {options}", side, *rams, *macs))
        print(*rows[-1])
    with out.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    count_families()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
