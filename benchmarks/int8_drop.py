"""What int8 costs on test images: artifacts against the network that they were exported from.

    python benchmarks/int8_drop.py OUT.csv RUN ARTIFACT...

Adds one row per artifact: accuracy of both on the same test images of the run, and the drop in
percentage points with its 95 % interval (Newcombe 1998, method 10). Nothing is chosen here.
"""

import csv
import sys
from pathlib import Path

from tinyrefinery import open_network
from tinyrefinery.deploy.export.parity import compare
from tinyrefinery.networks.network_data import open_network_data, rows_in
from tinyrefinery.networks.stored_predictions import Wanted, predictions_of

COLUMNS = ("network", "artifact", "n", "float", "int8", "drop", "low", "high")


def main(out: Path, run: str, artifacts: list[str]) -> None:
    """Predict the test images and add the rows."""
    network = open_network(run)
    data = open_network_data([network])
    rows = rows_in(data.manifest, ["test"])
    labels = data.manifest.labels[rows["test"]]
    expected = predictions_of(network, data, Wanted(rows, {})).probabilities[rows["test"]]
    is_new = not out.exists()
    with out.open("a", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        if is_new:
            lines.writerow(COLUMNS)
        for artifact in artifacts:
            other = open_network(artifact, like=Path(run))
            found = predictions_of(other, data, Wanted(rows, {})).probabilities[rows["test"]]
            parity = compare(expected, found, labels, "test", max_drop=0.5)
            drop = parity.drop
            assert drop is not None
            figures = (drop.points, drop.low, drop.high)
            accuracies = (f"{100 * value:.2f}" for value in (drop.network, drop.artifact))
            name = Path(artifact).name
            points = (f"{value:.2f}" for value in figures)
            lines.writerow((network.name, name, parity.n, *accuracies, *points))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
