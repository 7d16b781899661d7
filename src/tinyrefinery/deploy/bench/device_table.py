"""What networks cost on a device: flash, arena, products, and latency on this machine.

A PyTorch network is converted to an int8 LiteRT file first. Neither its cost nor its latency
depends on the values of its weights or on the calibration, so it is calibrated on noise.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tinyrefinery.deploy.bench.bench_models import SIZE, by_name
from tinyrefinery.deploy.emulation.counting import Counted, count_instructions
from tinyrefinery.deploy.export.artifact_facts import INSIDE, artifact_facts
from tinyrefinery.deploy.export.exportable import Exportable
from tinyrefinery.deploy.export.untrained import METADATA, convert_on_noise
from tinyrefinery.deploy.export.verification import open_artifact
from tinyrefinery.device.device_cost import DeviceCost, device_cost
from tinyrefinery.device.ethos import EthosCost, ethos_cost
from tinyrefinery.device.file_form import FileForm, is_one_scale
from tinyrefinery.device.host_latency import pass_on_noise
from tinyrefinery.device.timing import BURST, is_busy, ratio, summary, time_interleaved
from tinyrefinery.errors import DataError
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.opening import LITERT, RUNTIME_FILES, SUFFIXES, TIMM, open_network


@dataclass(frozen=True)
class DeviceLine:
    """One network of the table."""

    name: str
    form: str
    """`onnx`, `litert`, or `litert int8` for a network that was converted."""
    bytes: int
    """Of the file."""
    cost: DeviceCost | None
    """None for an ONNX file: microcontrollers don't run it."""
    times: dict[str, float | int]
    """Of `timing.summary`, in ms, one thread."""
    ratio: float
    """CPU time relative to the first network."""
    ethos: tuple[EthosCost, ...] = ()
    """Vela's estimates, one per accelerator."""
    counted: tuple[Counted, ...] = ()
    """Instructions on emulated processors."""


@dataclass(frozen=True)
class DeviceTable:
    """Networks, measured interleaved."""

    lines: tuple[DeviceLine, ...]
    busy: bool
    """Whether other processes used the cores too."""


def device_table(
    names: Sequence[str],
    *,
    size: int | None = None,
    classes: int = 10,
    passes: int = 100,
    accelerators: Sequence[str] = (),
    emulated: Sequence[str] = (),
    tree: Path | None = None,
    say: Callable[[str], object] = lambda text: None,
) -> DeviceTable:
    """Convert, measure and time networks.

    Args:
        names: what `open_network` opens, and names of architectures, which are built untrained.
        size: side of the images in pixels of untrained architectures; None: 224.
        classes: of untrained architectures.
        passes: timed passes of each network, rounded up to whole turns.
        accelerators: Ethos-U55 variants to estimate cycles for, e.g. `ethos-u55-128`.
        emulated: processors to count instructions on, e.g. `cortex-m4`.
        tree: source tree of LiteRT for Microcontrollers, for `emulated`.
        say: called with progress messages.

    Raises:
        RefineryError: if a network can't be opened, converted or run.
    """
    if not names:
        raise DataError("bench: name at least one network")
    with TemporaryDirectory() as place:
        files = []
        for number, name in enumerate(names):
            target = Path(place) / f"{number}{LITERT}"
            files.append(_file(name, target, size or SIZE, classes, say))
        say(f"timing {len(files)} files interleaved, {passes} passes each")
        runs = [pass_on_noise(open_artifact(file, threads=1)) for file, _ in files]
        times = time_interleaved(runs, -(-passes // BURST))
        lines = [
            DeviceLine(
                name=shown,
                form=form,
                bytes=file.stat().st_size,
                cost=device_cost(file) if file.suffix.lower() == LITERT else None,
                times=summary(timed),
                ratio=ratio(timed, times[0]),
                ethos=_ethos(file, accelerators, say),
                counted=_counted(file, emulated, tree, say),
            )
            for shown, (file, form), timed in zip(_shown(names), files, times, strict=True)
        ]
    return DeviceTable(tuple(lines), is_busy(times))


def _ethos(
    file: Path, accelerators: Sequence[str], say: Callable[[str], object]
) -> tuple[EthosCost, ...]:
    if file.suffix.lower() != LITERT:
        return ()
    return tuple(ethos_cost(file, name, say) for name in accelerators)


def _counted(
    file: Path, emulated: Sequence[str], tree: Path | None, say: Callable[[str], object]
) -> tuple[Counted, ...]:
    if tree is None or file.suffix.lower() != LITERT:
        return ()
    return tuple(count_instructions(file, name, tree, say) for name in emulated)


def _shown(names: Sequence[str]) -> list[str]:
    """Names for the table: of a file its name, or its path where another one has the same name."""
    files = {name: Path(name).name for name in names if Path(name).expanduser().is_file()}
    twice = [short for short in files.values() if [*files.values()].count(short) > 1]
    return [name if files.get(name, name) in twice else files.get(name, name) for name in names]


def _file(
    name: str, target: Path, size: int, classes: int, say: Callable[[str], object]
) -> tuple[Path, str]:
    """The file to measure, and its form."""
    path = Path(name).expanduser()
    if path.suffix.lower() in RUNTIME_FILES and path.is_file():
        return path, RUNTIME_FILES[path.suffix.lower()]
    is_place = path.exists() or "/" in name or path.suffix in SUFFIXES
    say(f"converting {name}")
    if is_place or name.startswith(TIMM):
        _convert_network(open_network(name), target, say)
    else:
        new = by_name(name, size, classes=classes)
        module = Exportable(new.network, (0.5,) * 3, (0.25,) * 3, normalize=True)
        form = FileForm(scaled=True)
        convert_on_noise(module, new.size, 3, name, (target, METADATA), say, form)
    return target, "litert int8"


def _convert_network(network: Network, target: Path, say: Callable[[str], object]) -> None:
    info = network.info
    module = Exportable(network.load(), info.mean, info.std, normalize=True)
    facts = artifact_facts(
        network, target="litert", preprocessing=INSIDE, int8=True, method="minmax"
    )
    metadata = json.dumps(facts, sort_keys=True)
    form = FileForm(scaled=is_one_scale(info.mean, info.std))
    convert_on_noise(module, info.size, info.channels, network.slug, (target, metadata), say, form)
