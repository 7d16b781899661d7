"""Safetensors files with weights and a JSON header that describes the network."""

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
from tinyrefinery.models.digest import tensors_digest
from tinyrefinery.reading.digests import DIGEST, is_intact, sealed
from tinyrefinery.reading.json_text import parse_json_object

Info = TypeVar("Info")

WEIGHTS = "weights_digest"
"""Fact of the header: digest of the tensors, by which damage is found wherever the file lies."""


def write_headed(path: Path, network: nn.Module, entry: str, facts: Mapping[str, Any]) -> None:
    """Write weights, buffers and header atomically. Equal contents give equal bytes.

    Args:
        path: the file.
        network: the network whose state is written.
        entry: name of the header's entry. There is one only, as the order of entries isn't fixed.
        facts: its contents, plain data.

    Raises:
        StorageError: if the file is not writable.
        TypeError: if `facts` are not JSON-serializable.
    """
    # Copy: safetensors accepts neither tensors that share memory (tied weights) nor strided ones.
    tensors = {
        key: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, tensor in network.state_dict().items()
    }
    content = sealed({"format": 1, **facts, WEIGHTS: tensors_digest(tensors)})
    header = json.dumps(content, sort_keys=True)
    write_atomic(path, save(tensors, {entry: header}))


def read_header(
    path: Path, entry: str, build: Callable[[dict[str, Any]], Info], missing: str
) -> Info:
    """Read the header of a file, without its weights.

    Args:
        path: the file.
        entry: name of the header's entry.
        build: converts the facts to the result; may raise ValueError, TypeError or KeyError.
        missing: the error message for a file without this entry.

    Raises:
        CheckpointError: if the file is missing, truncated, damaged or not of this format.
    """
    if path.is_dir():
        raise CheckpointError(f"{path}: is a folder, not a network file (model.safetensors)")
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file")
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(entry)
    except (SafetensorError, OSError) as error:
        if path.suffix.lower() != ".safetensors":
            raise CheckpointError(
                f"{path}: is not a network file. Give the model.safetensors of a stage, or a run "
                "folder"
            ) from error
        raise CheckpointError(
            f"{path}: truncated, or not a safetensors file ({error}). Train it again or restore a "
            "copy."
        ) from error
    if header is None:
        raise CheckpointError(f"{path}: {missing}")
    facts = parse_json_object(header, f"{path}: its header", error=CheckpointError)
    if facts.get("format") == 1 and not is_intact(facts):
        raise CheckpointError(f"{path}: its header is damaged (its digest differs)")
    try:
        if facts.pop("format") != 1:
            raise CheckpointError(
                f"{path}: was written by a newer version of Tiny Refinery. Update it."
            )
        for name in (WEIGHTS, DIGEST):
            facts.pop(name, None)
        return build(facts)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path}: its header is damaged ({error!r})") from error
