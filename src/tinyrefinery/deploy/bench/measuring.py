"""The latency of networks in one process, by turns, and what it belongs to."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from tinyrefinery.deploy.bench.backends import prepare, torch_threads
from tinyrefinery.deploy.bench.candidates import Candidate
from tinyrefinery.deploy.bench.timing import BURST, by_turns, is_busy, ratio, summary
from tinyrefinery.errors import DataError
from tinyrefinery.runs.environment import environment


@dataclass(frozen=True)
class Question:
    """How to measure."""

    backends: tuple[str, ...] = ("torch",)
    batch: int = 1
    """Images a pass."""
    threads: int = 1
    passes: int = 100
    """Timed ones of each network and backend, at least; rounded up to whole turns."""


def measure(
    networks: Sequence[Candidate],
    question: Question,
    *,
    say: Callable[[str], object] = lambda text: None,
) -> dict[str, Any]:
    """Time each network by each backend.

    Args:
        networks: at least one.
        question: how.
        say: hears what is being done.

    Returns:
        `machine`, `settings`, `busy` and `lines`; a line has network, backend, height, width,
        parameters, macs, the times of `timing.summary` in ms, and `ratio`, CPU time over that of
        the first network by the same backend, measured in the same turns.

    Raises:
        DataError: when a network can't be run, or there is none.
    """
    if not networks or not question.backends:
        raise DataError("latency: name at least one network and one backend")
    before = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    pairs = [(each, backend) for backend in question.backends for each in networks]
    with torch_threads(question.threads):
        passes = []
        for each, backend in pairs:
            say(f"preparing {each.name} for {backend}")
            passes.append(prepare(backend, each.name, each.network, _images(each, question.batch),
                                  question.threads))  # fmt: skip
        turns = -(-question.passes // BURST)
        say(f"timing {len(pairs)} by turns, {turns * BURST} passes each")
        timed = by_turns(passes, turns)
        machine = _machine(question, before)
    first = {backend: number for number, (_, backend) in reversed(list(enumerate(pairs)))}
    sizes = {id(each): (each.parameters, each.macs) for each in networks}
    lines = [
        {
            "network": each.name,
            "backend": backend,
            "height": each.size[0],
            "width": each.size[1],
            "parameters": sizes[id(each)][0],
            "macs": sizes[id(each)][1],
            **summary(times),
            "ratio": ratio(times, timed[first[backend]]),
        }
        for (each, backend), times in zip(pairs, timed, strict=True)
    ]
    settings = {"batch": question.batch, "threads": question.threads, "burst": BURST}
    return {
        "machine": machine,
        "settings": settings,
        "busy": is_busy(timed),
        "lines": lines,
    }


def _images(each: Candidate, batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, each.channels, *each.size, generator=generator)


def _machine(question: Question, before: float | None) -> dict[str, Any]:
    """What the numbers belong to."""
    found = environment()
    if "onnxruntime" in question.backends:
        try:
            found["versions"]["onnxruntime"] = version("onnxruntime")
        except PackageNotFoundError:  # e.g. onnxruntime-gpu, which has another name
            found["versions"]["onnxruntime"] = None
    found["when"] = datetime.now(UTC).isoformat(timespec="seconds")
    found["load"] = [before, os.getloadavg()[0] if hasattr(os, "getloadavg") else None]
    return found
