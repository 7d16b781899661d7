"""Evidence that a network gives about a dataset: its predictions and its training dynamics."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import DataError
from tinyrefinery.runs.stage_digests import check_file

if TYPE_CHECKING:
    from tinyrefinery.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Evidence:
    """Evidence from one network."""

    title: str
    """Network and split, for display."""
    predictions: "Predictions | None" = field(default=None, repr=False)
    """On held-out images, if there are any."""
    dynamics: pa.Table | None = field(default=None, repr=False)
    """Measures that training recorded for each sample."""

    def answers(self, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
        """Manifest rows with a prediction (n,), and the predicted class of the dataset (n,).

        Images are matched by identity and classes by name, since a network may order its classes
        differently.

        Raises:
            DataError: when the network predicts other classes than the dataset has.
        """
        if self.predictions is None:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        if set(self.predictions.classes) != set(dataset.classes):
            raise DataError(
                f"{self.title}: predicts {list(self.predictions.classes)[:5]}, but the classes of "
                f"'{dataset.name}' are {list(dataset.classes)[:5]}"
            )
        rows = dataset.manifest.current_rows(self.predictions.ids, self.predictions.rows)
        class_of = np.array([dataset.classes.index(name) for name in self.predictions.classes])
        return rows[rows >= 0], class_of[self.predictions.predicted[rows >= 0]]


def stage_evidence(folder: Path, title: str) -> Evidence:
    """Read a stage's predictions on test, else on validation, and its training dynamics."""
    from tinyrefinery.evaluation.dynamics_table import load_dynamics
    from tinyrefinery.evaluation.predictions import Predictions

    predictions = None
    for split in ("test", "validation"):
        file = check_file(folder / f"predictions-{split}.parquet")
        if file.exists():
            predictions, title = Predictions.load(file), f"{title} on {split}"
            break
    dynamics = check_file(folder / "dynamics.parquet")
    return Evidence(title, predictions, load_dynamics(dynamics) if dynamics.exists() else None)
