"""Two processes with half a batch each weight their crops as one with the whole batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tinyrefinery.losses.bias import BiasLoss
from tinyrefinery.options.losses import Bias

# Batches of both processes; weights of the first two are thrown away, the state stays.
WORK = """
import sys
import torch
from torch import distributed
from tinyrefinery.losses.bias import BiasLoss
from tinyrefinery.options.losses import Bias

rank, options, batches, out, store = int(sys.argv[1]), *map(eval, sys.argv[2:3]), *sys.argv[3:]
distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
loss = BiasLoss(**Bias(**options).options)
for batch in torch.load(batches):
    z = loss.weights(batch[rank::2])
torch.save({"z": z, "state": loss.state_dict()}, f"{out}{rank}")
distributed.destroy_process_group()
"""


@pytest.mark.slow  # starting two processes takes longest
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scaling": "running_minimum", "clamp": None},
        {"scaling": "variances", "mean_normalized": True},
    ],
    ids=str,
)
def test_two_processes_agree_with_one(options: dict, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    scales = torch.rand(3, 8, 1, 1, 1, generator=generator) + 0.1
    batches = torch.randn(3, 8, 2, 3, 3, generator=generator) * scales
    torch.save(list(batches), tmp_path / "batches")
    arguments = [str(options), tmp_path / "batches", f"{tmp_path}/out", tmp_path / "store"]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen([sys.executable, "-c", WORK, str(rank), *arguments], env=environment)
        for rank in range(2)
    ]
    assert [process.wait(120) for process in running] == [0, 0]
    found = [torch.load(tmp_path / f"out{rank}") for rank in range(2)]

    whole = BiasLoss(**Bias(**options).options)
    for batch in batches:
        expected = whole.weights(batch)
    both = torch.stack([found[0]["z"], found[1]["z"]], dim=1).flatten()
    torch.testing.assert_close(both, expected)
    assert found[0]["state"] == found[1]["state"] == whole.state_dict()
