"""What all tests share."""

import os
import tempfile
from pathlib import Path

import pytest
import torch

from tests.reports.fake_run import write_fake_run
from tests.shapes import check_shapes

torch.set_num_threads(1)  # small tensors gain nothing from more, and tests may run side by side
os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start
os.environ["TINYREFINERY_CACHE"] = str(Path(tempfile.gettempdir()) / "tinyrefinery-test-cache")
os.environ["NO_COLOR"] = "1"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with made-up numbers, as reports read it."""
    return write_fake_run(tmp_path / "runs" / "demo")


check_shapes()
