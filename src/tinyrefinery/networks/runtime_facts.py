"""The facts of an ONNX or LiteRT file, from whatever states them first."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

from tinyrefinery.errors import CheckpointError
from tinyrefinery.models.network_file import NetworkInfo
from tinyrefinery.models.runtime_network import RuntimeNetwork
from tinyrefinery.networks.facts import Facts

_MOST_SIDE = 1 << 16  # pixels; our choice
_FIELDS = ("classes", "size", "mean", "std")


def runtime_info(
    network: RuntimeNetwork,
    stated: Sequence[Facts],
    like: NetworkInfo | None,
    otherwise: Facts = Facts(),  # noqa: B008  frozen
) -> NetworkInfo:
    """What is known of an ONNX or LiteRT file.

    Args:
        network: opened.
        stated: what people state, first by the command, then beside the file.
        like: of the network that it was made from.
        otherwise: what to assume of facts that nothing states.

    Raises:
        CheckpointError: when a fact isn't known, or can't be true of the file.
    """
    graph: dict[str, Any] = dict(network.normalization)
    if network.size is not None:
        graph["size"] = network.size
    people = [facts.model_dump() for facts in stated]
    sources = (
        *people,
        network.metadata,
        asdict(like) if like else {},
        graph,
        otherwise.model_dump(),
    )
    known = {name: _first(name, sources) for name in _FIELDS}
    for name in ("mean", "std"):  # assumed values are of three channels
        if network.channels == 1 and known[name] == getattr(otherwise, name) and known[name]:
            known[name] = (sum(known[name]) / len(known[name]),)
    if missing := [name for name, value in known.items() if value is None]:
        raise CheckpointError(
            f"{network.path}: doesn't state its {', '.join(missing)}. Name the run or network file "
            f"that it was made from with --like, or write {', '.join(missing)} into "
            f"{network.path.name}.yaml beside it"
        )
    info = NetworkInfo(
        name=network.path.suffix.lstrip(".").lower(),
        kwargs={},
        channels=network.channels,
        classes=_tuple(network, known, "classes", str),
        size=_tuple(network, known, "size", int),
        mean=_tuple(network, known, "mean", float),
        std=_tuple(network, known, "std", float),
    )
    _check(network, info)
    return info


def _first(name: str, sources: Sequence[Mapping[str, Any]]) -> Any:
    return next((facts[name] for facts in sources if facts.get(name) is not None), None)


def _tuple(network: RuntimeNetwork, known: Mapping[str, Any], name: str, kind: type) -> Any:
    try:
        return tuple(kind(value) for value in known[name])
    except (TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(
            f"{network.path}: its {name} can't be {known[name]!r} ({error})"
        ) from error


def _check(network: RuntimeNetwork, info: NetworkInfo) -> None:
    """Compare what was stated with the graph."""
    path, k = network.path, len(info.classes)
    if network.outputs is not None and network.outputs != k:
        raise CheckpointError(f"{path}: has {network.outputs} outputs, but {k} classes are stated")
    if len(info.size) != 2 or (network.size is not None and network.size != info.size):
        raise CheckpointError(
            f"{path}: takes images of {network.size}, but their size was stated as {info.size}"
        )
    for name, values in (("mean", info.mean), ("std", info.std)):
        if len(values) != info.channels:
            raise CheckpointError(
                f"{path}: takes {info.channels} channels, but {name} has {len(values)} values"
            )
    if not all(map(isfinite, (*info.mean, *info.std))) or min(info.std) <= 0:
        raise CheckpointError(
            f"{path}: mean is {info.mean} and std is {info.std}, but they must be finite, and std "
            "above 0"
        )
    if not all(0 < side <= _MOST_SIDE for side in info.size):
        raise CheckpointError(f"{path}: its size can't be {info.size}")
    if k < 2:
        raise CheckpointError(f"{path}: {k} classes are stated; at least two are needed")
