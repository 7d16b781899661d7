"""The summary of a network: its layers, and what they cost together."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from tinyrefinery.deploy.costs.layer_costs import LayerCost, layer_costs
from tinyrefinery.deploy.costs.peak_memory import peak_memory
from tinyrefinery.deploy.packing.packed_gain import PackedGain, packed_gain
from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.binary import Quantized
from tinyrefinery.layers.lookup import LookupConv2d
from tinyrefinery.models import create
from tinyrefinery.networks.opening import RUNTIME_FILES, SUFFIXES, TIMM, open_network

SIZE, CLASSES = 224, 10
"""Of architectures that are built by name: side in pixels, and outputs."""


@dataclass(frozen=True)
class NetworkSummary:
    """The layers of a network and their sums."""

    name: str
    form: str
    """`torch`, `onnx`, `litert` or `packed`."""
    channels: int
    size: tuple[int, int]
    """Height and width of its images in pixels."""
    layers: tuple[LayerCost, ...] = field(repr=False)
    peak: int
    """Bytes of activations in memory at once."""
    file: int | None
    """Bytes of its file; None for an architecture."""
    packed: PackedGain | None = None
    """What packing gains, of a network with binary, ternary, 4-bit or lookup layers."""

    @property
    def parameters(self) -> int:
        """Of all layers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def bytes(self) -> int:
        """Of all layers' weights, at the bits of their kinds."""
        return sum(layer.bytes for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of numbers, for one image."""
        return sum(layer.macs for layer in self.layers)

    @property
    def binary_macs(self) -> int:
        """Products of bits, for one image."""
        return sum(layer.binary_macs for layer in self.layers)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        facts = {"name": self.name, "form": self.form, "channels": self.channels, "size": self.size}
        sums = {name: getattr(self, name) for name in ("parameters", "bytes", "macs")}
        sums |= {"binary_macs": self.binary_macs, "peak_ram": self.peak, "file": self.file}
        sums["packed"] = None if self.packed is None else vars(self.packed)
        return facts | sums | {"layers": [vars(layer) for layer in self.layers]}


def summarize(
    model: str,
    *,
    size: int | None = None,
    classes: int | None = None,
    stage: str | None = None,
    seed: int | None = None,
    row: str | None = None,
) -> NetworkSummary:
    """The summary of any network.

    Args:
        model: what `open_network` opens, or the name of an architecture, also `timm:NAME`, of which
            no weights are loaded.
        size: side in pixels of an architecture's images; None: 224.
        classes: of an architecture; None: 10.
        stage: of a run; None: by the rule of all commands.
        seed: likewise.
        row: likewise.

    Raises:
        RefineryError: if it can't be opened, or an option does not apply to it.
    """
    path = Path(model).expanduser()
    is_place = path.exists() or "/" in model or path.suffix in SUFFIXES
    if model.startswith(TIMM) or not is_place:  # weights of timm are not needed for costs
        if (stage, seed, row) != (None, None, None):
            raise RecipeError(f"{model} is an architecture: leave out --stage, --seed and --row")
        return _of_architecture(model, size or SIZE, classes or CLASSES)
    if (size, classes) != (None, None):
        raise RecipeError(
            f"{model} has a size and classes of its own: leave out --size and --classes"
        )
    if path.suffix.lower() in RUNTIME_FILES and path.is_file():
        if (stage, seed, row) != (None, None, None):
            raise RecipeError(f"{model} is one network: leave out --stage, --seed and --row")
        return _of_runtime_file(path)
    network = open_network(model, stage=stage, seed=seed, row=row)
    info, file = network.info, network.file if network.file.is_file() else None
    module = network.load()
    found = _of_torch(network.name, module, info.channels, info.size, file)
    if not _is_for_packing(module):
        return found
    return replace(found, packed=packed_gain(module, info.size, info.channels))


def _of_runtime_file(path: Path) -> NetworkSummary:
    """What an exported file states by itself; it is not run."""
    form = RUNTIME_FILES[path.suffix.lower()]
    if form == "onnx":
        from tinyrefinery.deploy.costs.onnx_costs import onnx_costs as costs
    elif form == "packed":
        from tinyrefinery.deploy.costs.packed_costs import packed_costs as costs
    else:
        from tinyrefinery.deploy.costs.litert_costs import litert_costs as costs
    layers, peak, shape = costs(path)
    sides = list(shape[1:])
    channels = sides.pop(0 if sides[0] in (1, 3) and sides[-1] not in (1, 3) else -1)
    size = path.stat().st_size
    return NetworkSummary(
        path.name, form, channels, (sides[0], sides[1]), tuple(layers), peak, size
    )


def _of_architecture(name: str, size: int, classes: int) -> NetworkSummary:
    """A new network, without values: nothing is drawn or computed.

    To be packed, it needs values.
    """
    with torch.device("meta"):
        network = create(name, classes, size=size)
    found = _of_torch(name, network, 3, (size, size), None)
    if not _is_for_packing(network):
        return found
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = create(name, classes, size=size).eval()
    return replace(found, packed=packed_gain(drawn, (size, size), 3))


def _is_for_packing(network: torch.nn.Module) -> bool:
    """Whether weights or inputs of a layer have few values, or its filters few words."""
    return any(
        isinstance(layer, LookupConv2d)
        or (isinstance(layer, Quantized) and (layer.weights, layer.activations) != _FLOAT)
        for layer in network.modules()
    )


_FLOAT = ("float", "float")


def _of_torch(
    name: str, network: torch.nn.Module, channels: int, size: tuple[int, int], file: Path | None
) -> NetworkSummary:
    return NetworkSummary(
        name=name,
        form="torch",
        channels=channels,
        size=size,
        layers=tuple(layer_costs(network, channels, size)),
        peak=peak_memory(network, channels, size),
        file=None if file is None else file.stat().st_size,
    )
