"""The cost of random small networks after conversion, for `tests/device/test_foretell.py`.

    python benchmarks/converted_random.py converted_random.csv 100
    python benchmarks/converted_random.py converted_small.csv 60 small

Converts the networks of `random_module` with these seeds to int8 LiteRT files, and appends a row
for each: flash, head and tail of the arena in bytes, and multiply-accumulates, as `device_cost`
reads them. Seeds that the file contains are not converted again. With `small`, the files take the
form with the least memory. Without, an operator normalizes, and no places in memory are stated.
"""

import csv
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the networks, which the tests share

from tests.device.random_modules import random_module
from tinyrefinery.deploy.export.exportable import Exportable
from tinyrefinery.deploy.export.untrained import METADATA, convert_on_noise
from tinyrefinery.device.device_cost import device_cost
from tinyrefinery.device.file_form import FileForm

PLAIN, SMALL = FileForm(placed=False), FileForm(scaled=True, placed=True, wide=True)
COLUMNS = ("seed", "flash", "head", "tail", "macs")


def row(seed: int, form: FileForm) -> tuple[int, ...]:
    """What one network costs."""
    network, side, channels = random_module(seed)
    module = Exportable(network, (0.5,) * channels, (0.25,) * channels, normalize=True)
    with TemporaryDirectory() as place:
        file = Path(place) / "network.tflite"
        name = f"random-{seed}"
        convert_on_noise(module, (side, side), channels, name, (file, METADATA), print, form)
        cost = device_cost(file)
    return seed, cost.flash, cost.arena.head, cost.arena.tail, cost.macs


def main(path: Path, count: int, form: FileForm) -> None:
    """Append the rows that a file lacks."""
    if not path.exists():
        path.write_text(",".join(COLUMNS) + "\n")
    with path.open(newline="") as file:
        known = {int(line["seed"]) for line in csv.DictReader(file)}
    for seed in range(count):
        if seed not in known:
            with path.open("a", newline="") as file:
                csv.writer(file, lineterminator="\n").writerow(row(seed, form))


if __name__ == "__main__":
    is_small = sys.argv[3:] == ["small"]
    main(Path(sys.argv[1]), int(sys.argv[2]), SMALL if is_small else PLAIN)
