"""Measure the latency of networks in one process, interleaved, and record the machine."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from tinyrefinery.deploy.bench.backends import prepare, torch_threads
from tinyrefinery.deploy.bench.candidates import Candidate
from tinyrefinery.device.timing import BURST, is_busy, ratio, summary, time_interleaved
from tinyrefinery.errors import DataError
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
        first network with the same backend, measured in the same rounds.

    Raises:
        DataError: if a network can't run, or there is none.
    """
    if not networks or not question.backends:
        raise DataError("latency: name at least one network and one backend")
    load = _load()
    pairs = [(candidate, backend) for backend in question.backends for candidate in networks]
    with torch_threads(question.threads):
        passes = []
        for candidate, backend in pairs:
            report(f"preparing {candidate.name} for {backend}")
            images = _images(candidate, question.batch)
            passes.append(
                prepare(backend, candidate.name, candidate.network, images, question.threads)
            )
        turns = -(-question.passes // BURST)
        report(f"timing {len(pairs)} networks interleaved, {turns * BURST} passes each")
        timed = time_interleaved(passes, turns)
        machine = _machine(question, load)
    first = {backend: number for number, (_, backend) in reversed(list(enumerate(pairs)))}
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
            "ratio": ratio(times, timed[first[backend]]),
        }
        for (candidate, backend), times in zip(pairs, timed, strict=True)
    ]
    settings = {"batch": question.batch, "threads": question.threads, "burst": BURST}
    return {
        "machine": machine,
        "settings": settings,
        "busy": is_busy(timed),
        "lines": lines,
    }


def _images(candidate: Candidate, batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, candidate.channels, *candidate.size, generator=generator)


def _load() -> float | None:
    """Load average of the last minute; None on Windows."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _machine(question: Question, load_before: float | None) -> dict[str, Any]:
    """Machine, versions, time and load of the measurement."""
    machine = environment()
    if "onnxruntime" in question.backends:
        try:
            machine["versions"]["onnxruntime"] = version("onnxruntime")
        except PackageNotFoundError:  # e.g. onnxruntime-gpu, which has another name
            machine["versions"]["onnxruntime"] = None
    machine["when"] = datetime.now(UTC).isoformat(timespec="seconds")
    machine["load"] = [load_before, _load()]
    return machine
