"""The position of a training, and the file from which it resumes after an interruption."""

import io
import logging
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tinyrefinery.errors import CheckpointError
from tinyrefinery.files import atomic_file
from tinyrefinery.training.files import EARLIER_STATE, STATE
from tinyrefinery.training.job import Training
from tinyrefinery.training.learning_rates import PlateauSchedule
from tinyrefinery.training.logs import Record, write_history

log = logging.getLogger("tinyrefinery")

_TITLE = b"tinyrefinery state 1 "
"""Begins the file. The digest of everything after the first line follows."""


class DamagedStateError(CheckpointError):
    """A file is not what `save_state` wrote."""


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
            "threads": torch.get_num_threads(),
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
            "hints": job.hints.module.state_dict() if job.hints is not None else None,
            "loss": job.loss.state_dict() if isinstance(job.loss, nn.Module) else None,
        }
        save_state(self.path, state)
        write_history(job.folder, now.history)

    def resume(self) -> Progress:
        """Where to resume: the newest intact state, loaded into the objects, or a fresh start."""
        now, damaged = Progress(), False
        for path in (self.path, self.path.with_name(EARLIER_STATE)):
            if not path.exists():
                continue
            try:
                now = self._load(path)
                break
            except DamagedStateError as error:
                damaged = True
                self._warn(str(error))
        if damaged:
            place = f"step {now.step} of epoch {now.epoch + 1}" if now.history or now.step else ""
            self._warn(f"{self.job.title}: resumes from {place or 'its start'}")
        if self.job.fabric.is_global_zero:
            write_history(self.job.folder, now.history)  # an epoch after the state is made again
        return now

    def _compare_threads(self, before: int | None) -> None:
        """Warn where rounding, and so the weights, will differ from an undisturbed training."""
        now = torch.get_num_threads()
        if self.job.fabric.device.type == "cpu" and before not in (None, now):
            self._warn(
                f"{self.job.title}: was trained with {before} CPU threads until here, and resumes "
                f"with {now}. Rounding differs, so its weights will too. To avoid that, set "
                f"engine.threads={before}"
            )

    def _warn(self, line: str) -> None:
        if self.job.fabric.is_global_zero:
            log.warning(line)

    def _load(self, path: Path) -> Progress:
        state = load_state(path)
        try:
            _check_place(state, self.job.options.epochs)
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
            if self.job.hints is not None:
                self.job.hints.module.load_state_dict(state["hints"])
            if isinstance(self.job.loss, nn.Module):
                self.job.loss.load_state_dict(state["loss"])
            self.step = state["step"]
            self._compare_threads(state.get("threads"))
            # The sums are those of all processes: one takes them over, or they would count twice.
            sums = state["sums"] * (1.0 if self.job.fabric.is_global_zero else 0.0)
            return Progress(state["epoch"], state["step"], sums, state["history"])
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{path}: the saved state is of another network, optimizer or loss "
                f"({(str(error) or repr(error)).splitlines()[0]}). Delete {STATE} and "
                f"{EARLIER_STATE} to train this stage from its start."
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


def _check_place(state: dict[str, Any], epochs: int) -> None:
    """Raise ValueError unless epoch, step and history of a state fit a training of `epochs`."""
    epoch, step, history = state["epoch"], state["step"], state["history"]
    if type(epoch) is not int or not 0 <= epoch <= epochs:
        raise ValueError(f"epoch {epoch!r} of {epochs}")
    if type(step) is not int or step < 0:
        raise ValueError(f"step {step!r}")
    if not isinstance(history, list) or len(history) != epoch:
        raise ValueError(f"epoch {epoch}, but a history of other length")


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values in one step, with their digest.

    The state before it stays as `EARLIER_STATE`.
    """
    # In memory first: written straight to a full disk, torch fails with a riddle.
    content = io.BytesIO()
    torch.save(state, content)
    body = content.getbuffer()
    with atomic_file(path) as temporary:
        with temporary.open("wb") as file:
            file.write(_TITLE + sha256(body).hexdigest().encode() + b"\n")
            file.write(body)
        if path.exists():
            path.replace(path.with_name(EARLIER_STATE))


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote; never runs code from the file.

    Raises:
        DamagedStateError: if it is not exactly that.
    """
    try:
        head, _, body = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise DamagedStateError(f"{path}: can't be read ({error.strerror or error})") from error
    # torch.load does not check the file's checksums, so most flipped bits would go unnoticed.
    if head != _TITLE + sha256(body).hexdigest().encode():
        raise DamagedStateError(f"{path}: is damaged (its digest differs), so it is not used")
    try:
        state = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    except Exception as error:  # intact, but written by something else
        raise DamagedStateError(f"{path}: is not a training state, so it is not used") from error
    if not isinstance(state, dict):
        raise DamagedStateError(f"{path}: is not a training state, so it is not used")
    return state


def remove_states(folder: Path) -> None:
    """Delete the saved states of a training that is finished."""
    for name in (STATE, EARLIER_STATE):
        (folder / name).unlink(missing_ok=True)
