"""What tests share: where real data may lie."""

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # small tensors gain nothing from more, and tests may run side by side


def real_data(name: str) -> Path:
    """Path of a real image set, e.g. "cifar10/train.parquet"; else the test is skipped."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    root = Path(os.environ.get("TINYREFINERY_TEST_DATA", beside))
    if not (root / name).exists():
        pytest.skip(
            f"real data '{name}' is not under {root}; set TINYREFINERY_TEST_DATA to test with it"
        )
    return root / name
