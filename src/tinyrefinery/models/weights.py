"""Weights of others: read from a file as data, never as code, and put into a network."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tinyrefinery.errors import CheckpointError

_WRAPPED = ("state_dict", "model")  # where training scripts put the weights among other things
_PREFIXES = ("module.", "_orig_mod.")  # left by DataParallel and torch.compile


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Named tensors of a `.safetensors`, `.pt` or `.pth` file, on the CPU.

    A pickled file may hold them directly or under "state_dict" or "model"; names lose the prefixes
    that DataParallel and torch.compile add. No code in the file is run.

    Raises:
        CheckpointError: when the file is missing, truncated, of another kind, or not plain tensors.
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
            f"{path}: holds no table of tensors, neither directly nor under "
            f"{' or '.join(map(repr, _WRAPPED))}; save network.state_dict()"
        )
    return {_bare(str(name)): tensor for name, tensor in content.items()}


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Named tensors of a safetensors file, whatever its suffix, on the CPU.

    Raises:
        CheckpointError: when the file is truncated or of another kind.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: is truncated or no safetensors file ({error}); make or fetch it again"
        ) from error


def load_weights(network: nn.Module, path: str | Path, classes: int) -> None:
    """Put the weights of a file into `network`, all of them or, on an error, none.

    Args:
        network: as the file's, with `classes` logits.
        path: what `read_weights` reads.
        classes: K, so that a file of other classes is told from one of another network.

    Raises:
        CheckpointError: naming the numbers of classes, or the tensors that don't fit.
    """
    put_weights(network, read_weights(path), classes, path)


def put_weights(
    network: nn.Module, weights: Mapping[str, Tensor], classes: int, path: str | Path
) -> None:
    """As `load_weights`, for tensors that were read already; `path` is for the message."""
    network.load_state_dict(check_weights(network, weights, classes, path))


def check_weights(
    network: nn.Module, weights: Mapping[str, Tensor], classes: int, path: str | Path
) -> dict[str, Tensor]:
    """The weights under the network's own names, once it is sure that all of them fit.

    Raises:
        CheckpointError: naming the numbers of classes, or the tensors that don't fit.
    """
    own = network.state_dict()
    if own.keys() != weights.keys():  # a network of timm's stands one level deeper in our wrapper
        deeper = {f"network.{name}": tensor for name, tensor in weights.items()}
        weights = deeper if own.keys() == deeper.keys() else weights
    missing = sorted(own.keys() - weights.keys())
    surplus = sorted(weights.keys() - own.keys())
    differing = [
        name
        for name, tensor in own.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    if not missing and not surplus and not differing:
        return dict(weights)
    theirs = {_classes_of(own[name].shape, weights[name].shape, classes) for name in differing}
    if len(theirs) == 1 and None not in theirs:
        raise CheckpointError(
            f"{path}: was trained for {theirs.pop()} classes, but {classes} are needed. Take "
            "weights of the same classes, or train anew."
        )
    shapes = [
        f"{name} is {tuple(weights[name].shape)}, not {tuple(own[name].shape)}"
        for name in differing
    ]
    raise CheckpointError(
        f"{path}: these are the weights of another network:"
        + _some(" missing", missing)
        + _some(" not known", surplus)
        + _some(" of another shape", shapes)
    )


def _classes_of(own: torch.Size, theirs: torch.Size, classes: int) -> int | None:
    """Rows of their last layer, where it differs from ours in nothing else."""
    if own[:1] == (classes,) and len(theirs) == len(own) and theirs[1:] == own[1:]:
        return theirs[0]
    return None


def _read_pickle(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged pickles raise almost anything
        if isinstance(error, pickle.UnpicklingError) and "operand" not in str(error):
            raise CheckpointError(
                f"{path}: holds more than tensors, and opening it could run code of its author, so "
                "it is refused. If you trust it, open it yourself and save its state_dict() with "
                "safetensors.torch.save_file"
            ) from error
        raise CheckpointError(
            f"{path}: is truncated or no PyTorch file; make or fetch it again"
        ) from error


def _bare(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _some(what: str, names: list[str]) -> str:
    """The first three of them and how many there are."""
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{what}: {', '.join(names[:3])}{more}."
