"""The state of an unfinished training, so that it can go on as if nothing had happened."""

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from tinyrefinery.errors import CheckpointError
from tinyrefinery.files import write_atomic


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
