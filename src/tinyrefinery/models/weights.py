"""Load weights into a network from files of any origin, without running code in them."""

import pickle
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from tinyrefinery.errors import CheckpointError, DataError
from tinyrefinery.models.digest import tensors_digest
from tinyrefinery.models.headed_file import WEIGHTS
from tinyrefinery.reading.json_text import parse_json

_WRAPPED = ("state_dict", "model")  # keys of the weights in checkpoints of training scripts
_PREFIXES = ("module.", "_orig_mod.")  # added by DataParallel and torch.compile


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read the named tensors of a `.safetensors`, `.pt` or `.pth` file, on the CPU.

    A pickled file may hold them directly or under "state_dict" or "model". The prefixes that
    DataParallel and torch.compile add to names are removed. No code in the file is run.

    Raises:
        CheckpointError: if the file is missing, truncated, or has anything but tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file")
    content = read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    for key in _WRAPPED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(value, Tensor) for value in content.values())
    ):
        raise CheckpointError(
            f"{path}: holds no named tensors, neither directly nor under "
            f"{' or '.join(map(repr, _WRAPPED))}. Save network.state_dict() instead."
        )
    return {_without_prefixes(str(name)): tensor for name, tensor in content.items()}


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read the named tensors of a safetensors file with any suffix, on the CPU.

    Files that Tiny Refinery wrote hold a digest of their tensors, which is checked.

    Raises:
        CheckpointError: if the file is truncated, damaged or not a safetensors file.
    """
    try:
        tensors = load_file(path)
        with safe_open(path, framework="pt") as file:
            entries = file.metadata() or {}
    except Exception as error:  # damaged headers raise almost anything
        raise CheckpointError(
            f"{path}: truncated, or not a safetensors file ({error}). Create or download it again."
        ) from error
    if (expected := _weights_digest(entries)) and tensors_digest(tensors) != expected:
        raise CheckpointError(
            f"{path}: is damaged (the digest of its weights differs). Create or download it again."
        )
    return tensors


def _weights_digest(entries: Mapping[str, str]) -> str | None:
    """The digest of the tensors in the entries of a header, where there is one."""
    for text in entries.values():
        with suppress(DataError):
            facts = parse_json(text, "header")
            if isinstance(facts, dict) and WEIGHTS in facts:
                return str(facts[WEIGHTS])
    return None


def load_weights(
    network: nn.Module, path: str | Path, classes: int, *, head: Collection[str] = ()
) -> None:
    """Load the weights of a file into `network`; see `read_weights` and `put_weights`."""
    put_weights(network, read_weights(path), classes, path, head=head)


def put_weights(
    network: nn.Module,
    weights: Mapping[str, Tensor],
    classes: int,
    path: str | Path,
    *,
    head: Collection[str] = (),
) -> None:
    """Load all weights (except those of the head) into `network` or, on an error, none.

    Arguments and errors are those of `check_weights`.
    """
    matching = check_weights(network, weights, classes, path, head=head)
    network.load_state_dict(matching, strict=not head)


def check_weights(
    network: nn.Module,
    weights: Mapping[str, Tensor],
    classes: int,
    path: str | Path,
    *,
    head: Collection[str] = (),
) -> dict[str, Tensor]:
    """Check that all weights fit the network, and return them under the network's names.

    Args:
        network: with `classes` logits.
        weights: e.g. from `read_weights`.
        classes: K, to tell weights for other classes from those of another network.
        path: origin of the weights, for the message.
        head: names of the network's tensors that stay unchanged; weights of these names are left
            out, whatever their shape.

    Raises:
        CheckpointError: if any don't fit. Lists the numbers of classes or the tensors.
    """
    state = _without(network.state_dict(), head)
    # TimmNetwork adds a prefix to timm's names.
    prefixed = {f"network.{name}": tensor for name, tensor in weights.items()}
    is_timm = state.keys() == _without(prefixed, head).keys()
    weights = _without(prefixed if is_timm else weights, head)
    missing = sorted(state.keys() - weights.keys())
    unexpected = sorted(weights.keys() - state.keys())
    differing = [
        name
        for name, tensor in state.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    if not missing and not unexpected and not differing:
        return dict(weights)
    stored_classes = {
        _classes_of(state[name].shape, weights[name].shape, classes) for name in differing
    }
    if len(stored_classes) == 1 and None not in stored_classes:
        raise CheckpointError(
            f"{path}: was trained for {stored_classes.pop()} classes, but {classes} are needed. "
            "Use weights for the same classes, or replace the last layer with replace_head: true."
        )
    shapes = [
        f"{name} is {tuple(weights[name].shape)}, not {tuple(state[name].shape)}"
        for name in differing
    ]
    raise CheckpointError(
        f"{path}: these are the weights of another network:"
        + _first_three(" missing", missing)
        + _first_three(" unexpected", unexpected)
        + _first_three(" of another shape", shapes)
    )


def _without(tensors: Mapping[str, Tensor], names: Collection[str]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if name not in names}


def _classes_of(expected: torch.Size, stored: torch.Size, classes: int) -> int | None:
    """Number of classes of the stored weights, if the shapes differ in nothing else."""
    if expected[:1] == (classes,) and len(stored) == len(expected) and stored[1:] == expected[1:]:
        return stored[0]
    return None


def _read_pickle(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged pickles raise almost anything
        if isinstance(error, pickle.UnpicklingError) and "operand" not in str(error):
            raise CheckpointError(
                f"{path}: holds more than tensors. Opening it could run code of its author, so it "
                "is refused. If you trust it, load it yourself and save its state_dict() with "
                "safetensors.torch.save_file."
            ) from error
        raise CheckpointError(
            f"{path}: truncated, or not a PyTorch file. Create or download it again."
        ) from error


def _without_prefixes(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _first_three(title: str, names: list[str]) -> str:
    """`title` and up to three names, and how many more there are; empty if there are none."""
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{title}: {', '.join(names[:3])}{more}."
