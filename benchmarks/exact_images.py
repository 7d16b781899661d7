"""int8 files of ours and another's file on the 500 CIFAR-10 test images with exact pixels.

    python benchmarks/exact_images.py OUT.csv EXACT.parquet JPEG.parquet OTHER RUN ARTIFACT...

All predict the same images: with exact pixels, and the same ones of JPEG.parquet, joined by
`orig_index`. OTHER is a LiteRT file that takes pixels from 0 to 255. One row per artifact and kind
of pixels: accuracy of
both, and the difference with its 95 % interval (Newcombe 1998, method 10). Nothing is chosen here.
"""

import csv
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.parquet as pq

from tinyrefinery import open_network
from tinyrefinery.networks.facts import Facts
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.network_data import open_network_data, rows_in
from tinyrefinery.networks.stored_predictions import Wanted, predictions_of
from tinyrefinery.options.sources import Parquet
from tinyrefinery.statistics.proportions import newcombe_paired

COLUMNS = ("artifact", "bytes", "other", "pixels", "n", "ours", "theirs", "gain", "low", "high")


def main(out: Path, exact: Path, jpeg: Path, other: Path, run: Path, artifacts: list[Path]) -> None:
    """Predict and add the rows."""
    classes = tuple(open_network(run).info.classes)
    stated = Facts(classes=classes, size=(32, 32), mean=(0.0,) * 3, std=(1 / 255,) * 3)
    ours = [open_network(path, like=run) for path in artifacts]
    is_new = not out.exists()
    with TemporaryDirectory() as folder, out.open("a", newline="") as file:
        copied = Path(folder) / other.name  # its folder may be read-only
        copied.write_bytes(other.read_bytes())
        theirs = open_network(copied, stated=stated)
        same = Path(folder) / "jpeg.parquet"
        rows = pq.read_table(jpeg)
        wanted = pq.read_table(exact, columns=["orig_index"])["orig_index"].to_numpy()
        places = np.flatnonzero(np.isin(rows["orig_index"].to_numpy(), wanted))
        pq.write_table(rows.take(places), same)
        lines = csv.writer(file, lineterminator="\n")
        if is_new:
            lines.writerow(COLUMNS)
        for kind, path in (("exact", exact), ("JPEG", same)):
            rights = {network.name: _rights(network, path) for network in (theirs, *ours)}
            them = rights[theirs.name]
            for network, artifact in zip(ours, artifacts, strict=True):
                us = rights[network.name]
                pairs = (us & them, us & ~them, ~us & them, ~us & ~them)
                interval = newcombe_paired(*(int(each.sum()) for each in pairs))
                points = (us.mean(), them.mean(), us.mean() - them.mean(), *interval)
                figures = (f"{100 * value:.2f}" for value in points)
                size = artifact.stat().st_size
                lines.writerow((artifact.name, size, other.name, kind, len(us), *figures))


def _rights(network: Network, parquet: Path) -> np.ndarray:
    """Whether the network is right, for each image of a Parquet file."""
    data = open_network_data([network], Parquet(path=str(parquet)))
    rows = rows_in(data.manifest, ["test"])
    found = predictions_of(network, data, Wanted(rows, {})).probabilities[rows["test"]]
    return found.argmax(1) == data.manifest.labels[rows["test"]]


if __name__ == "__main__":
    paths = [Path(word) for word in sys.argv[1:]]
    main(paths[0], paths[1], paths[2], paths[3], paths[4], paths[5:])
