"""Real image sets, for tests that use them when they are there."""

import os
from pathlib import Path

import pytest


def real_data(name: str) -> Path:
    """Path of a real image set, e.g. "cifar10/train.parquet"; else the test is skipped.

    They are looked for in the folder that TINYREFINERY_TEST_DATA names, else beside the checkout.
    """
    beside = Path(__file__).parents[2] / "shared" / "data"
    root = Path(os.environ.get("TINYREFINERY_TEST_DATA", beside))
    if not (root / name).exists():
        pytest.skip(
            f"real data '{name}' is not under {root}; set TINYREFINERY_TEST_DATA to test with it"
        )
    return root / name
