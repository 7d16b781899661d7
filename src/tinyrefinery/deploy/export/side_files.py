"""The files beside an artifact: a record of what it is, and test vectors."""

import io
import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from tinyrefinery.errors import CheckpointError
from tinyrefinery.files import write_atomic
from tinyrefinery.reading.json_text import read_json_object

VECTORS = 16
"""Test vectors of an artifact."""
_FORMAT = 1
_REMEDY = "Export it again, or restore all three files from a copy"


@dataclass(frozen=True)
class Vectors:
    """Images and what the artifact predicts for them."""

    inputs: np.ndarray
    """(n, H, W, C), exactly what the artifact takes."""
    outputs: np.ndarray
    """(n, K) float32 probabilities, as the artifact predicted them when it was exported."""
    tolerance: float
    """Largest difference of a probability that counts as equal."""


def record_file(artifact: Path) -> Path:
    """The record of an artifact: `FILE.json`."""
    return artifact.with_name(f"{artifact.name}.json")


def vectors_file(artifact: Path) -> Path:
    """The test vectors of an artifact: `FILE.vectors.npz`."""
    return artifact.with_name(f"{artifact.name}.vectors.npz")


def failed_file(artifact: Path) -> Path:
    """The record of an artifact that failed its check and was not written."""
    return artifact.with_name(f"{artifact.name}.failed.json")


def write_artifact(
    artifact: Path, content: bytes, vectors: Vectors, facts: dict[str, Any]
) -> dict[str, Any]:
    """Write an artifact with its record and its vectors; the artifact last.

    Returns:
        The record.

    Raises:
        StorageError: if a file is not writable.
    """
    packed = _pack(vectors)
    record = {
        "format": _FORMAT,
        "file": artifact.name,
        "bytes": len(content),
        "sha256": sha256(content).hexdigest(),
        "vectors": {
            "file": vectors_file(artifact).name,
            "sha256": sha256(packed).hexdigest(),
            "tolerance": vectors.tolerance,
        },
        **facts,
    }
    write_atomic(vectors_file(artifact), packed)
    write_atomic(record_file(artifact), json.dumps(record, indent=1, allow_nan=False))
    write_atomic(artifact, content)
    failed_file(artifact).unlink(missing_ok=True)
    return record


def _pack(vectors: Vectors) -> bytes:
    memory = io.BytesIO()
    np.savez_compressed(
        memory, inputs=vectors.inputs, outputs=vectors.outputs, tolerance=vectors.tolerance
    )
    return memory.getvalue()


def read_record(artifact: Path) -> dict[str, Any]:
    """The record of an artifact.

    Raises:
        CheckpointError: if it is missing or damaged.
    """
    path = record_file(artifact)
    if not path.exists():
        raise CheckpointError(
            f"{path}: there is no such file. `tinyrefinery export` writes it beside the artifact"
        )
    record = read_json_object(path, f"{_REMEDY}.", CheckpointError)
    if record.get("format", _FORMAT) != _FORMAT:
        raise CheckpointError(f"{path}: was written by another version. Update this package")
    vectors = record.get("vectors")
    digests = (record.get("sha256"), vectors.get("sha256") if isinstance(vectors, dict) else None)
    if not all(isinstance(each, str) for each in digests) or type(record.get("bytes")) is not int:
        raise CheckpointError(f"{path}: is damaged (it lacks sizes or digests). {_REMEDY}")
    return record


def read_vectors(artifact: Path, record: dict[str, Any]) -> Vectors:
    """The test vectors of an artifact.

    Raises:
        CheckpointError: if they are missing or not those that the record names.
    """
    path = vectors_file(artifact)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read ({error.strerror}). {_REMEDY}") from error
    if sha256(content).hexdigest() != record["vectors"]["sha256"]:
        raise CheckpointError(f"{path}: differs from what {record_file(artifact)} names. {_REMEDY}")
    with np.load(io.BytesIO(content)) as file:
        return Vectors(file["inputs"], file["outputs"], float(file["tolerance"]))
