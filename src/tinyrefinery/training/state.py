"""The position of a training, and the file from which it resumes after an interruption."""

import io
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tinyrefinery.errors import CheckpointError
from tinyrefinery.files import write_atomic
from tinyrefinery.training.files import STATE
from tinyrefinery.training.job import Training
from tinyrefinery.training.learning_rates import PlateauSchedule
from tinyrefinery.training.logs import Record, write_history


@dataclass
class Progress:
    """Where a training stands; all that a resumed run needs besides weights and optimizer."""

    epoch: int = 0
    step: int = 0
    """Steps done in this epoch."""
    sums: Tensor = field(default_factory=lambda: torch.zeros(3, dtype=torch.float64))
    """Loss, hits and crops of this epoch so far, in this process."""
    history: list[Record] = field(default_factory=list)


class SavedState:
    """The objects that make up a training's state, and the file they are kept in."""

    def __init__(self, job: Training, average: AveragedModel | None) -> None:
        self.job, self.average = job, average
        self.path = job.folder / STATE
        self.step = 0

    def is_due(self, step: int) -> bool:
        """Whether a state within the epoch is to be saved after this step."""
        every = self.job.engine.checkpoint_every_steps
        return every is not None and step // every > self.step // every

    def write(self, now: Progress) -> None:
        """Save everything in one step, unless the loss or the weights are no numbers any more."""
        self.step, job = now.step, self.job
        sums = job.fabric.all_reduce(now.sums, reduce_op="sum")
        assert isinstance(sums, Tensor)
        if job.dynamics is not None:
            job.dynamics.share(job.fabric)
        sound = job.fabric.is_global_zero and bool(sums.isfinite().all())
        if not (sound and is_finite(job.network)):
            return
        state = {
            "epoch": now.epoch,
            "step": now.step,
            "sums": sums.cpu(),
            "history": now.history,
            "network": bare(job.network).state_dict(),
            "optimizer": job.optimizer.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
            "schedule": job.schedule.state if isinstance(job.schedule, PlateauSchedule) else None,
            "dynamics": job.dynamics.state() if job.dynamics is not None else None,
            "stop": job.stop.state() if job.stop is not None else None,
            "loss": job.loss.state_dict() if isinstance(job.loss, nn.Module) else None,
        }
        save_state(self.path, state)
        write_history(job.folder, now.history)

    def resume(self) -> Progress:
        """Where to go on: the saved state, loaded into the objects, or a fresh start."""
        now = self._load() if self.path.exists() else Progress()
        if self.job.fabric.is_global_zero:
            write_history(self.job.folder, now.history)  # an epoch after the state is made again
        return now

    def _load(self) -> Progress:
        state = load_state(self.path)
        try:
            bare(self.job.network).load_state_dict(state["network"])
            self.job.optimizer.load_state_dict(state["optimizer"])
            if self.average is not None:
                self.average.load_state_dict(state["average"])
            if isinstance(self.job.schedule, PlateauSchedule):
                self.job.schedule.state = state["schedule"]
            if self.job.dynamics is not None:
                self.job.dynamics.restore(state["dynamics"])
            if self.job.stop is not None:
                self.job.stop.load(state["stop"])
            if isinstance(self.job.loss, nn.Module):
                self.job.loss.load_state_dict(state["loss"])
            self.step = state["step"]
            # The sums are those of all processes: one takes them over, or they would count twice.
            sums = state["sums"] * (1.0 if self.job.fabric.is_global_zero else 0.0)
            return Progress(state["epoch"], state["step"], sums, state["history"])
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{self.path}: the saved state is of another network, optimizer or loss "
                f"({str(error).splitlines()[0]}). Delete the file to train this stage again."
            ) from error


def bare(network: nn.Module) -> nn.Module:
    """The network itself, where torch.compile has wrapped it."""
    return getattr(network, "_orig_mod", network)


def is_due(count: int, every: int | None) -> bool:
    """Whether something that is done every so often is to be done now; None: never."""
    return every is not None and count % every == 0


def is_finite(network: nn.Module) -> bool:
    """Whether every weight is a number; a step can ruin them before the loss shows it."""
    return all(bool(weights.isfinite().all()) for weights in network.parameters())


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values in one step; the old state stays until then."""
    # In memory first: written straight to a full disk, torch fails with a riddle.
    content = io.BytesIO()
    torch.save(state, content)
    write_atomic(path, content.getvalue())


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote; never runs code from the file.

    Raises:
        CheckpointError: when the file is truncated or no such state.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path}: not a readable training state ({reason}). Delete the file to train this "
            "stage from its start; finished stages are not touched."
        ) from error
    if not isinstance(state, dict) or "epoch" not in state:
        raise CheckpointError(f"{path}: not a training state (no 'epoch'). Delete the file.")
    return state
