"""Which of several processes this one is, by the environment that its launcher set.

Launchers are `torchrun`, `srun` of SLURM, and Lightning Fabric, which starts the other processes
of a machine itself.
"""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Launch:
    """How `torchrun` or `srun` started this process."""

    rank: int
    """Of this process, among all."""
    devices: int
    """Processes on each machine."""
    nodes: int
    """Machines."""


def launched() -> Launch | None:
    """How a launcher started this process; None if it was started by hand, or by Fabric."""
    number = _number
    if "TORCHELASTIC_RUN_ID" in os.environ:
        all_of_them, here = number("WORLD_SIZE", 1), number("LOCAL_WORLD_SIZE", 1)
        return Launch(number("RANK", 0), here, all_of_them // here)
    # `srun` sets the step's number of tasks; a shell inside of `salloc` has a job, but no task.
    if "SLURM_STEP_NUM_TASKS" in os.environ and number("SLURM_STEP_NUM_TASKS", 1) > 1:
        nodes = number("SLURM_STEP_NUM_NODES", 1)
        devices = number("SLURM_STEP_NUM_TASKS", 1) // nodes
        return Launch(number("SLURM_PROCID", 0), devices, nodes)
    return None


def rank() -> int:
    """Number of this process, from 0. Of Fabric's, each machine counts its own."""
    started = launched()
    return _number("LOCAL_RANK", 0) if started is None else started.rank


def is_first() -> bool:
    """Whether this is the process that writes and reports for all."""
    return rank() == 0 and (launched() is not None or _number("NODE_RANK", 0) == 0)


def _number(name: str, otherwise: int) -> int:
    try:
        return int(os.environ[name])
    except (KeyError, ValueError):
        return otherwise
