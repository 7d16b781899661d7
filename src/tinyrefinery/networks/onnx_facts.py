"""What must be known of an ONNX file before it can be judged: classes, size, normalization.

Said, the first that speaks counts, by `FILE.onnx.yaml` beside it, by the file's metadata, by the
network that it was made from. Size and channels may also be fixed in its graph.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PositiveInt

from tinyrefinery.errors import CheckpointError
from tinyrefinery.models.network_file import NetworkInfo
from tinyrefinery.models.onnx_file import OnnxNetwork
from tinyrefinery.options.part import Part, Positive
from tinyrefinery.recipe.document import read
from tinyrefinery.recipe.load import check

_FIELDS = ("classes", "size", "mean", "std")


def _square(value: Any) -> Any:
    return (value, value) if isinstance(value, int) else value


class Facts(Part):
    """`FILE.onnx.yaml`: what a person says of the file."""

    classes: Annotated[tuple[str, ...], Field(min_length=2)] | None = None
    """Name of each output, in its order."""
    size: Annotated[tuple[PositiveInt, PositiveInt], BeforeValidator(_square)] | None = None
    """Height and width of its images in pixels; a number stands for both."""
    mean: tuple[float, ...] | None = None
    """Subtracted from each channel of images in 0 to 1."""
    std: tuple[Positive, ...] | None = None
    """What each channel is then divided by."""
    like: str | None = None
    """Run, stage's folder or network file that it was made from; seen from this file's folder."""


def facts_beside(path: Path) -> Facts:
    """What stands beside an ONNX file; nothing where there is no such file.

    Raises:
        RecipeError: when it is wrong.
    """
    beside = path.with_name(f"{path.name}.yaml")
    if not beside.exists():
        return Facts()
    return check(read(beside), Facts, source=str(beside))


def onnx_info(network: OnnxNetwork, beside: Facts, like: NetworkInfo | None) -> NetworkInfo:
    """What is known of an ONNX file.

    Args:
        network: opened.
        beside: what a person says.
        like: of the network that it was made from.

    Raises:
        CheckpointError: when something isn't known, or can't be true of the file.
    """
    graph = {} if network.size is None else {"size": network.size}
    sources = (beside.model_dump(), network.told, asdict(like) if like else {}, graph)
    known = {name: _first(name, sources) for name in _FIELDS}
    if missing := [name for name, value in known.items() if value is None]:
        raise CheckpointError(
            f"{network.path}: doesn't tell its {', '.join(missing)}; name the run or network file "
            f"that it was made from with --like, or write them into {network.path.name}.yaml "
            "beside it"
        )
    info = NetworkInfo(
        name="onnx",
        kwargs={},
        channels=network.channels,
        classes=_tuple(network, known, "classes", str),
        size=_tuple(network, known, "size", int),
        mean=_tuple(network, known, "mean", float),
        std=_tuple(network, known, "std", float),
    )
    _check(network, info)
    return info


def _first(name: str, sources: tuple[Mapping[str, Any], ...]) -> Any:
    return next((each[name] for each in sources if each.get(name) is not None), None)


def _tuple(network: OnnxNetwork, known: Mapping[str, Any], name: str, kind: type) -> Any:
    try:
        return tuple(kind(value) for value in known[name])
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"{network.path}: its {name} can't be {known[name]!r} ({error})"
        ) from error


def _check(network: OnnxNetwork, info: NetworkInfo) -> None:
    """Hold what was said against the graph."""
    path, k = network.path, len(info.classes)
    if len(set(info.classes)) < k:
        raise CheckpointError(f"{path}: class names stand twice in {list(info.classes)[:8]}")
    if network.outputs is not None and network.outputs != k:
        raise CheckpointError(f"{path}: has {network.outputs} outputs, but {k} classes are named")
    if len(info.size) != 2 or (network.size is not None and network.size != info.size):
        raise CheckpointError(
            f"{path}: takes images of {network.size}, but they are said to be {info.size}"
        )
    for name, values in (("mean", info.mean), ("std", info.std)):
        if len(values) != info.channels:
            raise CheckpointError(
                f"{path}: takes {info.channels} channels, but {name} has {len(values)} values"
            )
    if min(info.std) <= 0:
        raise CheckpointError(f"{path}: std is {info.std}; it is above 0")
