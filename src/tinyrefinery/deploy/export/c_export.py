"""Export to C: the sources of an int8 LiteRT artifact, checked in their own arithmetic."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinyrefinery.deploy.c_source.c_folder import make_sources, sources_folder
from tinyrefinery.deploy.c_source.source_check import measure_sources, measured_processor
from tinyrefinery.deploy.export.artifact_facts import parity_text, picture_text
from tinyrefinery.deploy.export.parity import Parity, compare
from tinyrefinery.deploy.integer.integer_run import real_outputs, run_plan
from tinyrefinery.files import write_atomic

VECTORS = 2
"""Test vectors by default: they take flash while they are checked."""
_OF_ARTIFACT = ("format", "vectors", "cost", "latency")
"""Facts of the LiteRT file alone. Its digest stays: the sources follow from it."""


@dataclass(frozen=True)
class Expected:
    """What the sources have to predict."""

    probabilities: np.ndarray = field(repr=False)
    """(n, K) of the network."""
    labels: np.ndarray | None = field(repr=False)
    images: str
    """Which images, for people."""
    max_drop: float
    """Allowed drop of accuracy, in percentage points."""


@dataclass(frozen=True)
class CExport:
    """Sources, written or refused."""

    path: Path
    """The source file."""
    record: dict[str, Any] = field(repr=False)
    parity: Parity


def export_c(
    artifact: Path, record: dict[str, Any], inputs: np.ndarray, expected: Expected
) -> CExport:
    """Write the folder of an artifact's C sources, if they predict what the network predicts.

    Args:
        artifact: an int8 LiteRT file.
        record: its record.
        inputs: (n, H, W, C) images of the check, as the artifact takes them.
        expected: what the network predicts for them.

    Raises:
        DataError: if it can't be written in C.
        StorageError: if a file is not writable.
    """
    chosen = np.linspace(0, len(inputs) - 1, min(VECTORS, len(inputs))).astype(int)
    sources = make_sources(
        *(artifact, record, inputs[chosen]),
        picture=picture_text(record),
        parity=parity_text(record.get("parity")),
    )
    found = real_outputs(sources.plan, run_plan(sources.plan, inputs))
    parity = compare(
        *(expected.probabilities, found, expected.labels, expected.images),
        max_drop=expected.max_drop,
    )
    folder = sources_folder(artifact)
    path = folder / f"{sources.name}.c"
    facts = {name: value for name, value in record.items() if name not in _OF_ARTIFACT} | {
        **{"file": path.name, "from": artifact.name, "target": "c", "arena": sources.arena},
        **{"bytes": len(sources.files[path.name].encode()), "parity": parity.as_dict()},
    }
    if parity.verdict == "FAIL":
        return CExport(path, facts, parity)
    for name, text in sources.files.items():
        write_atomic(folder / name, text)
    facts |= measured(folder)
    write_atomic(folder / "record.json", json.dumps(facts, indent=1, allow_nan=False))
    return CExport(path, facts, parity)


def measured(folder: Path) -> dict[str, Any]:
    """Flash and RAM of sources, where a compiler is installed."""
    processor = measured_processor()
    if processor is None:
        return {"size": None}
    return {"size": {"processor": processor, **asdict(measure_sources(folder, processor))}}
