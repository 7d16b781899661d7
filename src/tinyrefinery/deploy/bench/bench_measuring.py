"""Measure the latency of networks in one process, interleaved, and record the machine."""

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from tinyrefinery.deploy.bench.backends import prepare, torch_threads
from tinyrefinery.deploy.bench.bench_models import Candidate
from tinyrefinery.device.host_latency import pass_on_noise
from tinyrefinery.device.timing import BURST, Pass, is_busy, ratio, summary, time_interleaved
from tinyrefinery.errors import DataError
from tinyrefinery.models.runtime_network import RuntimeNetwork
from tinyrefinery.runs.environment import environment


@dataclass(frozen=True)
class Question:
    """Settings of the measurement."""

    backends: tuple[str, ...] = ("torch",)
    batch: int = 1
    """Images per pass."""
    threads: int = 1
    passes: int = 100
    """Timed passes of each network and backend, rounded up to whole turns."""


def measure(
    networks: Sequence[Candidate],
    question: Question,
    *,
    report: Callable[[str], object] = lambda text: None,
) -> dict[str, Any]:
    """Time each network with each backend.

    Args:
        networks: at least one.
        question: the settings.
        report: called with progress messages.

    Returns:
        `machine`, `settings`, `busy` and `lines`. A line has network, backend, height, width,
        parameters, macs, the times of `timing.summary` in ms, and `ratio`: CPU time relative to the
        first network with the same backend, of a file to the first network, measured in the same
        rounds.

    Raises:
        DataError: if a network can't run, or there is none.
    """
    if not networks or not question.backends:
        raise DataError("latency: name at least one network and one backend")
    load = _load()
    pairs = _pairs(networks, question)
    with torch_threads(question.threads):
        passes = []
        for candidate, backend in pairs:
            report(f"preparing {candidate.name} for {backend}")
            passes.append(_pass(candidate, backend, question))
        turns = -(-question.passes // BURST)
        report(f"timing {len(pairs)} networks interleaved, {turns * BURST} passes each")
        timed = time_interleaved(passes, turns)
        machine = _machine({backend for _, backend in pairs}, load)
    reference = [_reference(number, pairs) for number in range(len(pairs))]
    sizes = {id(candidate): (candidate.parameters, candidate.macs) for candidate in networks}
    lines = [
        {
            "network": candidate.name,
            "backend": backend,
            "height": candidate.size[0],
            "width": candidate.size[1],
            "parameters": sizes[id(candidate)][0],
            "macs": sizes[id(candidate)][1],
            **summary(times),
            "ratio": ratio(times, timed[other]),
        }
        for (candidate, backend), times, other in zip(pairs, timed, reference, strict=True)
    ]
    settings = {"batch": question.batch, "threads": question.threads, "burst": BURST}
    return {
        "machine": machine,
        "settings": settings,
        "busy": is_busy(timed),
        "lines": lines,
    }


Pairs = list[tuple[Candidate, str]]
"""Networks with a backend."""


def _pairs(networks: Sequence[Candidate], question: Question) -> Pairs:
    """Each network with each backend, and each file with its own."""
    of_torch = [candidate for candidate in networks if not candidate.runtime]
    pairs = [(candidate, backend) for backend in question.backends for candidate in of_torch]
    files = [candidate for candidate in networks if candidate.runtime]
    if files and question.batch != 1:
        raise DataError(f"{files[0].name}: is timed with one image per pass. Leave --batch out")
    own = [(candidate, candidate.runtime) for candidate in files]
    # The first network that is named is the first line.
    return [*own, *pairs] if networks[0].runtime else [*pairs, *own]


def _reference(number: int, pairs: Pairs) -> int:
    """Which line the ratio of a line is relative to."""
    candidate, backend = pairs[number]
    if candidate.runtime:
        return 0
    return next(i for i, (c, b) in enumerate(pairs) if b == backend and not c.runtime)


def _pass(candidate: Candidate, backend: str, question: Question) -> Pass:
    if isinstance(candidate.network, RuntimeNetwork):
        return pass_on_noise(candidate.network)
    images = _images(candidate, question.batch)
    return prepare(backend, candidate.name, candidate.network, images, question.threads)


def _images(candidate: Candidate, batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, candidate.channels, *candidate.size, generator=generator)


def _load() -> float | None:
    """Load average of the last minute; None on Windows."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


_PACKAGES = {"onnxruntime": "onnxruntime", "litert": "ai-edge-litert"}
"""Of backends that are not PyTorch."""


def _machine(backends: Collection[str], load_before: float | None) -> dict[str, Any]:
    """Machine, versions, time and load of the measurement."""
    machine = environment()
    for backend in sorted(_PACKAGES.keys() & backends):
        try:
            machine["versions"][backend] = version(_PACKAGES[backend])
        except PackageNotFoundError:  # e.g. onnxruntime-gpu, which has another name
            machine["versions"][backend] = None
    machine["when"] = datetime.now(UTC).isoformat(timespec="seconds")
    machine["load"] = [load_before, _load()]
    return machine
