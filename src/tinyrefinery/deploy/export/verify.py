"""Check an artefact against its side file, and replay its test vectors."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from tinyrefinery.deploy.export.artefact_files import read_side_file, vectors_file
from tinyrefinery.deploy.export.runtime import Artefact
from tinyrefinery.deploy.export.vectors import Vectors
from tinyrefinery.errors import CheckpointError, DataError


@dataclass(frozen=True)
class Check:
    """One thing that was checked."""

    name: str
    passed: bool
    detail: str


def verify(artefact: Path) -> list[Check]:
    """Check bytes, facts and outputs of an artefact. Bytes that differ end the check.

    Raises:
        DataError: if a file is missing, or the side file is damaged.
    """
    side = read_side_file(artefact)
    content, replay = _read(artefact), _read(vectors_file(artefact))
    checks = [
        _bytes("artefact", content, side["sha256"]),
        _bytes("test vectors", replay, side["vectors"]["sha256"]),
    ]
    if not all(check.passed for check in checks):
        return checks
    vectors = Vectors.from_bytes(replay, str(vectors_file(artefact)))
    try:
        opened = Artefact(artefact)
        facts = dict(opened.facts) == side["facts"]
        found = opened.probabilities(vectors.inputs)
    except CheckpointError as error:
        return [*checks, Check("runs", False, str(error))]
    detail = "equal" if facts else "metadata and side file differ: export the network again"
    return [*checks, Check("facts", facts, detail), _outputs(found, vectors, opened.runtime)]


def _outputs(found: np.ndarray, vectors: Vectors, runtime: str) -> Check:
    if found.shape != vectors.outputs.shape:
        return Check("outputs", False, f"shape {found.shape}, expected {vectors.outputs.shape}")
    difference = float(np.abs(found - vectors.outputs).max())
    detail = (
        f"{len(found)} images, largest difference {difference:.2g} (tolerance "
        f"{vectors.tolerance:.2g}), {runtime}"
    )
    return Check("outputs", difference <= vectors.tolerance, detail)


def _bytes(name: str, content: bytes, expected: str) -> Check:
    digest = sha256(content).hexdigest()
    if digest == expected:
        return Check(name, True, f"{len(content):,} bytes, sha256 {digest[:16]}")
    detail = f"sha256 {digest[:16]}, expected {expected[:16]}: the file was changed or damaged"
    return Check(name, False, detail)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror or error})") from error
