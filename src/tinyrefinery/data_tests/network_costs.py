"""What a network under test costs on a device: of its exported file, or foretold."""

import logging
from collections.abc import Sequence
from pathlib import Path

from tinyrefinery.data_tests.costs import Costs
from tinyrefinery.device.device_cost import device_cost
from tinyrefinery.device.ethos import ethos_cost
from tinyrefinery.device.file_form import FileForm, is_one_scale
from tinyrefinery.device.foretell import NotForetoldError, foretell_cost
from tinyrefinery.device.host_latency import host_latency
from tinyrefinery.errors import RefineryError
from tinyrefinery.models.runtime_network import RuntimeNetwork
from tinyrefinery.networks.network import Network
from tinyrefinery.reading.json_text import read_json_object

log = logging.getLogger("tinyrefinery")
EXPORTS = Path("exports")
"""Where `tinyrefinery export` writes unless another folder is named."""
_EXPORT = "tinyrefinery export RUN --to litert --int8"


def network_costs(network: Network, accelerators: Sequence[str] = (), *, latency: bool) -> Costs:
    """Costs of a network.

    Args:
        network: from `open_network`.
        accelerators: whose cycles to estimate, where there is a file that a device runs.
        latency: whether to time it, where there is a file that a device runs.

    Raises:
        RefineryError: if its file can't be read or run.
    """
    if network.kind == "litert":
        return _of_litert(network.file, network.file.name, accelerators, latency=latency)
    if network.kind == "onnx":
        return _of_onnx(network.file, latency=latency)
    if network.kind == "packed":
        return _of_packed(network.file, latency=latency)
    exported = exported_file(network)
    if exported is not None:
        return _of_litert(exported, str(exported), accelerators, latency=latency)
    info = network.info
    missing = f"{network.name}: latency and cycles are those of an exported file. First: {_EXPORT}"
    try:
        form = FileForm(scaled=is_one_scale(info.mean, info.std))
        cost = foretell_cost(network.load(), info.size, info.channels, info.classes, form)
    except NotForetoldError as error:
        return Costs(network.name, missing=f"{network.name}: {error}. Or export it: {_EXPORT}")
    return Costs(network.name, cost.flash, cost.ram, cost.macs, is_bound=True, missing=missing)


def exported_file(network: Network) -> Path | None:
    """The int8 LiteRT file of a network in `exports`, if its record names the network."""
    path = EXPORTS / f"{network.slug}.int8.tflite"
    record = path.with_name(f"{path.name}.json")
    if not path.is_file() or not record.is_file():
        return None
    facts = read_json_object(record, "Export it again.")
    of_network = facts.get("digest") == network.digest
    return path if of_network and facts.get("bytes") == path.stat().st_size else None


def _of_litert(path: Path, name: str, accelerators: Sequence[str], *, latency: bool) -> Costs:
    from tinyrefinery.models.litert_file import LiteRtNetwork

    cost = device_cost(path)
    time = _median(LiteRtNetwork(path, threads=1)) if latency else None
    cycles, missing = {}, ""
    try:
        for accelerator in accelerators:
            cycles[accelerator] = ethos_cost(path, accelerator, log.info).cycles
    except RefineryError as error:  # Vela can't be installed, or can't compile the file
        missing = str(error)
    return Costs(name, cost.flash, cost.ram, cost.macs, time, cycles, missing=missing)


def _of_onnx(path: Path, *, latency: bool) -> Costs:
    from tinyrefinery.models.onnx_file import OnnxNetwork

    time = _median(OnnxNetwork(path, threads=1)) if latency else None
    missing = (
        f"{path.name}: ram, macs and cycles are those of LiteRT files, and this is an ONNX "
        f"file. Test the network that it was made from, or its LiteRT file: {_EXPORT}"
    )
    return Costs(path.name, path.stat().st_size, latency=time, missing=missing)


def _of_packed(path: Path, *, latency: bool) -> Costs:
    from tinyrefinery.models.packed_file import PackedNetwork

    packed = PackedNetwork(path)
    return Costs(
        *(path.name, path.stat().st_size, packed.runtime.program.arena),
        latency=_median(packed) if latency else None,
        missing=f"{path.name}: macs and cycles are those of LiteRT files, and this is a packed one",
    )


def _median(network: RuntimeNetwork) -> float:
    try:
        return float(host_latency(network)["median"])
    except RefineryError:
        raise
    except Exception as error:  # the runtimes' exceptions have no common public base
        raise RefineryError(f"{network.path.name}: its runtime can't run it ({error})") from error
