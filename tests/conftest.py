"""What all tests share."""

import os
import tempfile
from pathlib import Path

import torch

torch.set_num_threads(1)  # small tensors gain nothing from more, and tests may run side by side
os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start
os.environ["TINYREFINERY_CACHE"] = str(Path(tempfile.gettempdir()) / "tinyrefinery-test-cache")
os.environ["NO_COLOR"] = "1"
