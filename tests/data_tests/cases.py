"""A small data set with columns, and networks that are right where they are told to be."""

from typing import Any

import numpy as np
import pyarrow as pa

from tinyrefinery.data.manifest import Manifest
from tinyrefinery.data_tests.data_test_file import Suite
from tinyrefinery.data_tests.rows import Rows, rows_of
from tinyrefinery.evaluation.prediction_table import ModelPredictions
from tinyrefinery.options.messages import check

CLASSES = ("no_person", "person")


def manifest(n: int = 400, classes: tuple[str, ...] = CLASSES, **columns: Any) -> Manifest:
    """Rows of the test split, labels in turn, ids that are hashes in form."""
    table = {
        "id": [f"{i:064x}" for i in range(n)],
        "path": [f"photos/{'coats' if i % 4 == 0 else 'rooms'}/{i:04d}.jpg" for i in range(n)],
        "label": np.arange(n) % len(classes),
        "split": ["test"] * n,
    }
    return Manifest(pa.table(table | columns), classes)


def rows(n: int = 400, classes: tuple[str, ...] = CLASSES, **columns: Any) -> Rows:
    """The manifest's rows."""
    return rows_of(manifest(n, classes, **columns))


def answers(
    rows: Rows, wrong: Any = (), name: str = "network", sure: float = 0.9
) -> ModelPredictions:
    """A network that is wrong on some rows, saying the next class there."""
    n, k = len(rows.labels), len(rows.classes)
    said = rows.labels.copy()
    said[list(wrong)] = (said[list(wrong)] + 1) % k
    probabilities = np.full((n, k), (1 - sure) / max(1, k - 1), np.float32)
    probabilities[np.arange(n), said] = sure
    return ModelPredictions(name, probabilities)


def suite(tests: dict[str, Any], **rest: Any) -> Suite:
    """A suite from plain data."""
    return check({"tests": tests, **rest}, Suite, source="tests")
