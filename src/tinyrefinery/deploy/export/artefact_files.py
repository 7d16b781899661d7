"""The files of an artefact: itself, its side file, its test vectors, its parity report.

NAME.onnx                the artefact
NAME.onnx.json           side file: facts, bytes, SHA-256 of artefact and vectors
NAME.onnx.vectors.npz    test vectors
NAME.onnx.parity.json    comparison with the torch network; written when it fails too
"""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

from tinyrefinery.deploy.export.parity import Parity
from tinyrefinery.deploy.export.vectors import Vectors
from tinyrefinery.errors import DataError
from tinyrefinery.files import atomic_file, write_atomic


def side_file(artefact: Path) -> Path:
    """Where an artefact's side file is."""
    return artefact.with_name(f"{artefact.name}.json")


def vectors_file(artefact: Path) -> Path:
    """Where an artefact's test vectors are."""
    return artefact.with_name(f"{artefact.name}.vectors.npz")


def report_file(artefact: Path) -> Path:
    """Where an artefact's parity report is."""
    return artefact.with_name(f"{artefact.name}.parity.json")


def write_report(artefact: Path, parity: Parity) -> Path:
    """Write the parity report of an artefact, which itself may not be kept."""
    write_atomic(report_file(artefact), _text(parity.as_json()))
    return report_file(artefact)


def write_artefact(
    artefact: Path, content: bytes, facts: Mapping[str, Any], vectors: Vectors, parity: Parity
) -> None:
    """Write all files of an artefact, or none if one can't be written.

    Raises:
        StorageError: if the disk is full or the folder is not writable.
    """
    replay = vectors.to_bytes()
    side = {
        "artefact": artefact.name,
        "bytes": len(content),
        "sha256": sha256(content).hexdigest(),
        "vectors": {
            "file": vectors_file(artefact).name,
            "images": len(vectors.inputs),
            "tolerance": vectors.tolerance,
            "sha256": sha256(replay).hexdigest(),
        },
        "parity": parity.as_json(),
        "facts": dict(facts),
    }
    files = {  # the last is renamed first, so the side file never promises what is not there
        side_file(artefact): _text(side).encode(),
        report_file(artefact): _text(parity.as_json()).encode(),
        vectors_file(artefact): replay,
        artefact: content,
    }
    with ExitStack() as stack:
        for path, data in files.items():
            stack.enter_context(atomic_file(path)).write_bytes(data)


def read_side_file(artefact: Path) -> Mapping[str, Any]:
    """The content of an artefact's side file.

    Raises:
        DataError: if it is missing, damaged, or of another artefact.
    """
    path = side_file(artefact)
    try:
        side = json.loads(path.read_text(encoding="utf-8"))
        needed = side["sha256"], side["vectors"]["sha256"], side["facts"]["classes"]
        assert all(needed)
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: there is no such side file. `tinyrefinery export` writes it beside the "
            "artefact. Copy it there"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise DataError(
            f"{path}: the side file is damaged ({error}). Export the network again"
        ) from error
    return side


def _text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"
