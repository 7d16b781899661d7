"""What networks left behind about a data set: predictions and training dynamics."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import DataError
from tinyrefinery.evaluation.dynamics_table import load_dynamics
from tinyrefinery.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Evidence:
    """Of one network."""

    title: str
    """Network and split, in words."""
    predictions: Predictions | None = field(default=None, repr=False)
    """Of images that it was not trained on, where there are any."""
    dynamics: pa.Table | None = field(default=None, repr=False)
    """What its training recorded of each sample."""

    def answers(self, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
        """Manifest rows that it was asked about, and the data's class that it called them.

        Images are found by identity, classes by name: a network may have them in another order.

        Raises:
            DataError: when the network knows other classes than the data.
        """
        if self.predictions is None:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        if set(self.predictions.classes) != set(dataset.classes):
            raise DataError(
                f"{self.title}: predicts {list(self.predictions.classes)[:5]}, but the classes of "
                f"'{dataset.name}' are {list(dataset.classes)[:5]}"
            )
        rows = dataset.manifest.current_rows(self.predictions.ids, self.predictions.rows)
        place = np.array([dataset.classes.index(name) for name in self.predictions.classes])
        return rows[rows >= 0], place[self.predictions.predicted[rows >= 0]]


def stage_evidence(folder: Path, title: str) -> Evidence:
    """What a stage's folder holds: predictions of test, else of validation; dynamics."""
    predictions = None
    for split in ("test", "validation"):
        file = folder / f"predictions-{split}.parquet"
        if file.exists():
            predictions, title = Predictions.load(file), f"{title} on {split}"
            break
    dynamics = folder / "dynamics.parquet"
    return Evidence(title, predictions, load_dynamics(dynamics) if dynamics.exists() else None)
