"""Weights of others: read from a file as data, never as code, and put into a network."""

import pickle
from collections.abc import Collection, Mapping
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


def load_weights(
    network: nn.Module, path: str | Path, classes: int, *, head: Collection[str] = ()
) -> None:
    """Put the weights of a file that `read_weights` reads into `network`; see `put_weights`."""
    put_weights(network, read_weights(path), classes, path, head=head)


def put_weights(
    network: nn.Module,
    weights: Mapping[str, Tensor],
    classes: int,
    path: str | Path,
    *,
    head: Collection[str] = (),
) -> None:
    """Put weights into `network`: all of them (but those of the head) or, on an error, none.

    The arguments and errors are those of `check_weights`.
    """
    fitting = check_weights(network, weights, classes, path, head=head)
    network.load_state_dict(fitting, strict=not head)


def check_weights(
    network: nn.Module,
    weights: Mapping[str, Tensor],
    classes: int,
    path: str | Path,
    *,
    head: Collection[str] = (),
) -> dict[str, Tensor]:
    """The weights under the network's own names, once it is sure that all of them fit.

    Args:
        network: with `classes` logits.
        weights: e.g. what `read_weights` gave.
        classes: K, so that weights for other classes are told from those of another network.
        path: where the weights are from, for the message.
        head: names of the network's tensors that are to stay as they are; the weights' own are
            left out, whatever their shape.

    Raises:
        CheckpointError: naming the numbers of classes, or the tensors that don't fit.
    """
    own = _without(network.state_dict(), head)
    deeper = {f"network.{name}": tensor for name, tensor in weights.items()}
    # A network of timm's stands one level deeper in our wrapper.
    fits_deeper = own.keys() == _without(deeper, head).keys()
    weights = _without(deeper if fits_deeper else weights, head)
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
            "weights of the same classes, or draw the last layer anew with replace_head: true."
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


def _without(tensors: Mapping[str, Tensor], names: Collection[str]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if name not in names}


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
