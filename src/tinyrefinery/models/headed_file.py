"""Weights in a safetensors file whose header says, as JSON, what they belong to."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from tinyrefinery.errors import CheckpointError
from tinyrefinery.files import write_atomic

Info = TypeVar("Info")


def write_headed(path: Path, network: nn.Module, entry: str, facts: Mapping[str, Any]) -> None:
    """Write weights, buffers and header in one step; equal ones give equal bytes.

    Args:
        path: of the file.
        network: whose state is written.
        entry: name of the header's entry; the only one, as their order in the file isn't fixed.
        facts: what is in it, plain data.

    Raises:
        StorageError: when the file can't be written.
        TypeError: when `facts` can't be written as JSON.
    """
    # Copies, as safetensors takes no tensors that share memory (tied weights) or have gaps.
    tensors = {
        key: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, tensor in network.state_dict().items()
    }
    header = json.dumps({"format": 1, **facts}, sort_keys=True)
    write_atomic(path, save(tensors, {entry: header}))


def read_header(path: Path, entry: str, build: Callable[[dict[str, Any]], Info], none: str) -> Info:
    """What the header of a file says, without its weights.

    Args:
        path: of the file.
        entry: as written.
        build: makes something of the facts; it may raise ValueError, TypeError, KeyError.
        none: what is said of a file without such an entry.

    Raises:
        CheckpointError: when the file is missing, truncated, of another kind or damaged.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file")
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(entry)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: is truncated or no safetensors file ({error}); train it again or take a copy"
        ) from error
    if header is None:
        raise CheckpointError(f"{path}: {none}")
    try:
        known = json.loads(header)
        if known.pop("format") != 1:
            raise CheckpointError(f"{path}: was written by a newer Tiny Refinery; update it")
        return build(known)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path}: its header is damaged ({error!r})") from error
