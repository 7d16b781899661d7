"""Export a network to targets: write each artefact, measure it, keep it if it passes."""

import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import nn

from tinyrefinery.deploy.export import artefact_files, parity
from tinyrefinery.deploy.export.artefact_facts import INSIDE, METADATA, artefact_facts
from tinyrefinery.deploy.export.litert_target import float_litert, int8_litert
from tinyrefinery.deploy.export.onnx_target import float_onnx, int8_onnx
from tinyrefinery.deploy.export.real_images import LabeledPixels, RealImages
from tinyrefinery.deploy.export.runtime import Artefact
from tinyrefinery.deploy.export.target import Sources
from tinyrefinery.deploy.export.to_onnx import check_exporter
from tinyrefinery.deploy.export.vectors import COUNT, FLOAT_TOLERANCE, INT8_TOLERANCE, Vectors
from tinyrefinery.errors import DataError, look_up
from tinyrefinery.files import check_writable
from tinyrefinery.networks.network import Network
from tinyrefinery.options.sources import Source

log = logging.getLogger("tinyrefinery")


@dataclass(frozen=True)
class Target:
    """A format, and how it is written."""

    ending: str
    write_float: Callable[[Sources, Path], None]
    write_int8: Callable[[Sources, Path, Path], None]
    """Takes the float artefact too."""


TARGETS: dict[str, Target] = {
    "onnx": Target(".onnx", float_onnx, int8_onnx),
    "litert": Target(".tflite", float_litert, int8_litert),
}


@dataclass(frozen=True)
class Export:
    """What to export, and what it must hold."""

    to: tuple[str, ...] = ("onnx",)
    """Names of targets."""
    int8: bool = False
    """Also write an int8 artefact per target."""
    preprocessing: str = INSIDE
    """`inside`: pixels in; `metadata`: normalized images in."""
    images: int = 2000
    """Most images to measure on."""
    calibration: int = 256
    """Most images to calibrate int8 on."""
    max_drop: float = 0.5
    """Largest drop of an int8 artefact's accuracy, in points."""


@dataclass(frozen=True)
class Exported:
    """One artefact."""

    file: Path
    """Where it is, if it passed."""
    report: Path
    parity: parity.Parity
    bytes: int = 0

    @property
    def passed(self) -> bool:
        """Whether the artefact was kept."""
        return self.parity.passed


@dataclass(frozen=True)
class _Work:
    """What all artefacts of one export share."""

    sources: Sources
    measured: LabeledPixels
    expected: np.ndarray = field(repr=False)
    """Probabilities of the torch network for `measured`."""
    settings: Export
    out: Path


def export_network(
    network: Network, settings: Export, out: Path, source: Source | None = None
) -> list[Exported]:
    """Export a network. An artefact that fails its comparison leaves its report only.

    Args:
        network: of a run, a network file or timm.
        settings: targets and limits.
        out: folder of the artefacts.
        source: images to calibrate and to measure on; None: those of the network's run.

    Raises:
        DataError: if there is no such target, no images, or the network can't be exported.
        CheckpointError: if the network can't be loaded.
        StorageError: if a file can't be written.
    """
    targets = [look_up("target", name, TARGETS) for name in dict.fromkeys(settings.to)]
    if settings.preprocessing not in (INSIDE, METADATA):
        raise DataError(
            f"preprocessing is '{INSIDE}' or '{METADATA}', not {settings.preprocessing}"
        )
    if not network.is_torch:
        raise DataError(
            f"{network.name}: is exported already. Name the run or the network file that it was "
            "made from"
        )
    check_exporter()
    check_writable(folders=[out])
    work = _prepare(network, network.load().eval(), settings, out, source)
    exported: list[Exported] = []
    for target in targets:
        exported += _export_to(target, work)
    return exported


def _prepare(
    network: Network, module: nn.Module, settings: Export, out: Path, source: Source | None
) -> _Work:
    """Open the images and predict them with torch."""
    images = RealImages(network, source)
    measured = images.to_measure(settings.images)
    calibration = images.to_calibrate(settings.calibration) if settings.int8 else None
    log.info(f"{network.name}: predicting {len(measured):,} images of {measured.split} with torch")
    expected = parity.torch_probabilities(module, network.info, measured.pixels)
    facts = artefact_facts(network, preprocessing=settings.preprocessing)
    sources = Sources(
        network, module, facts, settings.preprocessing == INSIDE, calibration, measured
    )
    return _Work(sources, measured, expected, settings, out)


def _export_to(target: Target, work: _Work) -> list[Exported]:
    network = work.sources.network
    with tempfile.TemporaryDirectory() as folder:
        name = f"{network.slug}{target.ending}"
        path = Path(folder) / name
        log.info(f"{name}: converting")
        target.write_float(work.sources, path)
        exported = [_measure_and_keep(path, work, None)]
        if work.settings.int8 and exported[0].passed:
            small = path.with_name(f"{network.slug}.int8{target.ending}")
            log.info(f"{small.name}: quantizing to int8")
            target.write_int8(work.sources, path, small)
            exported.append(_measure_and_keep(small, work, work.settings.max_drop))
        return exported


def _measure_and_keep(path: Path, work: _Work, max_drop: float | None) -> Exported:
    """Compare an artefact with torch on real images. Keep it if it passes."""
    opened = Artefact(path)
    found = opened.probabilities(work.measured.pixels)
    compared = parity.compare_predictions(
        work.expected,
        found,
        work.measured,
        artefact=path.name,
        runtime=opened.runtime,
        max_drop=max_drop,
    )
    kept = work.out / path.name
    content = path.read_bytes()
    if compared.passed:
        tolerance = FLOAT_TOLERANCE if max_drop is None else INT8_TOLERANCE
        vectors = Vectors(work.measured.pixels[:COUNT], found[:COUNT], tolerance)
        artefact_files.write_artefact(kept, content, opened.facts, vectors, compared)
    else:
        artefact_files.write_report(kept, compared)
    return Exported(kept, artefact_files.report_file(kept), compared, len(content))


def exit_code_of(exported: Sequence[Exported]) -> int:
    """0 if every artefact passed, else that of a failed check."""
    from tinyrefinery.errors import CHECK_FAILED

    return 0 if all(one.passed for one in exported) else CHECK_FAILED
