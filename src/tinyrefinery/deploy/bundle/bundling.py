"""Write the folder that a device's builder takes: an artifact, code that runs it, and a check.

mcu  C++ for a microcontroller with LiteRT for Microcontrollers: the model as an array, two
     functions, test vectors, a Makefile.
c    C99 for any processor: the network with its own runtime, test vectors, a Makefile.
pi   Python for a Raspberry Pi, or any Linux: the model, a script without this package, vectors.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import jinja2
import numpy as np

from tinyrefinery.deploy.bundle.tflm_operators import register_methods
from tinyrefinery.deploy.c_source.c_folder import make_sources
from tinyrefinery.deploy.c_source.c_text import c_comment, c_numbers, c_string
from tinyrefinery.deploy.export.artifact_facts import parity_text, picture_text
from tinyrefinery.deploy.export.c_export import VECTORS
from tinyrefinery.deploy.export.side_files import Vectors, read_vectors, record_file, vectors_file
from tinyrefinery.deploy.export.verification import checked_record, open_artifact
from tinyrefinery.device.arena import arena_of
from tinyrefinery.device.litert_graph import read_graph
from tinyrefinery.errors import CheckpointError, DataError
from tinyrefinery.files import new_folder, write_atomic
from tinyrefinery.networks.opening import LITERT

Kind = Literal["mcu", "c", "pi"]
MCU_VECTORS = VECTORS
"""Test vectors of a microcontroller's bundle by default: they take flash while they are checked."""
_ROUND = 1024
"""Bytes; the arena is rounded up to a multiple."""
_INPUTS = {"uint8": "uint8_t", "int8": "int8_t", "float32": "float"}
_TEMPLATES = Path(__file__).parent / "templates"
_MCU_FILES = (
    "classifier.h",
    "classifier.cc",
    "model_data.h",
    "model_data.cc",
    "test_vectors.h",
    "test_vectors.cc",
    "check.cc",
    "Makefile",
)


@dataclass(frozen=True)
class Bundle:
    """A folder that was written."""

    folder: Path
    files: tuple[Path, ...]
    facts: dict[str, Any] = field(repr=False)
    """What its readme states, e.g. `arena` and `operators`."""


def write_bundle(
    artifact: str | Path,
    kind: Kind,
    folder: str | Path | None = None,
    *,
    vectors: int | None = None,
) -> Bundle:
    """Write the folder of an exported LiteRT file. It is there as a whole or not at all.

    Args:
        artifact: what `export` wrote, with its record and vectors beside it.
        kind: see the module.
        folder: where to; None: beside the artifact, named after it.
        vectors: how many test vectors; None: `MCU_VECTORS`, for a Raspberry Pi all.

    Raises:
        CheckpointError: if the artifact, its record or its vectors are missing or damaged.
        DataError: if it is not a LiteRT file, names no classes, has an operator that the device's
            runtime lacks, or has fewer vectors; or if the folder is not empty.
        RefineryError: if the folder is not writable.
    """
    path = Path(artifact)
    if path.suffix.lower() != LITERT:
        raise DataError(f"{path}: is not a LiteRT file. Export one first: export MODEL --to litert")
    content, record = checked_record(path)
    try:
        made = _facts(path, content, record, kind, vectors)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{record_file(path)}: is damaged (it lacks or misstates {error}). Export it again, or "
            "restore a copy"
        ) from error
    target = Path(folder) if folder is not None else path.with_name(f"{path.stem}-{kind}")
    files: dict[str, bytes | str] = {**_texts(path, kind, made, record, content)}
    if kind == "pi":
        files |= {path.name: content, "vectors.npz": vectors_file(path).read_bytes()}
    with new_folder(target) as staged:
        for name, text in files.items():
            write_atomic(staged / name, text)
    return Bundle(target, tuple(target / name for name in sorted(files)), made)


def _texts(
    path: Path, kind: Kind, facts: dict[str, Any], record: dict[str, Any], content: bytes
) -> dict[str, str]:
    """Texts of the files by name."""
    if kind != "c":
        return _mcu(facts, content) if kind == "mcu" else _pi(facts)
    stated = {"picture": facts["picture"], "parity": facts["parity"]}
    sources = make_sources(path, record, facts["inputs"], **stated)
    facts["arena"] = sources.arena
    return sources.files


def _facts(
    path: Path, content: bytes, record: dict[str, Any], kind: Kind, count: int | None
) -> dict[str, Any]:
    """Everything that the files state."""
    if not record.get("classes"):
        raise DataError(f"{path}: names no classes. Export it from a network that does")
    vectors = _first(path, read_vectors(path, record), count, kind)
    graph = read_graph(path)
    kinds = sorted({operator.kind for operator in graph.operators})
    height, width = record["size"]
    facts = {
        "title": f"Written by Tiny Refinery {record['version']} from {path.name}",
        "file": path.name,
        "bytes": len(content),
        "height": height,
        "width": width,
        "arena": -(-arena_of(graph).total // _ROUND) * _ROUND,
        "operators": kinds,
        "input_type": _INPUTS[open_artifact(path).input.dtype.name],
        "inputs": vectors.inputs,
        "outputs": vectors.outputs,
        "tolerance": f"{vectors.tolerance:#.9g}",
        "parity": parity_text(record.get("parity")),
        "picture": picture_text(record),
    }
    if kind == "mcu":
        facts["methods"] = register_methods(kinds, path.name)
    stated = ("sha256", "network", "classes", "channels", "preprocessing", "mean", "std", "size")
    named = {name: record[name] for name in stated}
    return facts | named | {"input": record["input"], "output": record["output"]} | _resize(record)


def _first(path: Path, vectors: Vectors, count: int | None, kind: Kind) -> Vectors:
    most = len(vectors.inputs)
    wanted = count if count is not None else (most if kind == "pi" else min(MCU_VECTORS, most))
    if not 1 <= wanted <= most:
        raise DataError(
            f"{path}: has {most} test vectors, so {wanted} can't be written. Take fewer"
        )
    return Vectors(vectors.inputs[:wanted], vectors.outputs[:wanted], vectors.tolerance)


def _resize(record: dict[str, Any]) -> dict[str, Any]:
    return {"resize": record.get("resize")}


def _mcu(facts: dict[str, Any], content: bytes) -> dict[str, str]:
    facts = facts | {"model": np.frombuffer(content, np.uint8)}
    texts = {name: _text(name, facts) for name in _MCU_FILES}
    return texts | {"README.md": _text("microcontroller.md", facts)}


def _pi(facts: dict[str, Any]) -> dict[str, str]:
    stated = ("file", "classes", "size", "channels", "preprocessing", "mean", "std", "resize")
    return {
        "README.md": _text("raspberry_pi.md", facts),
        "requirements.txt": _text("requirements.txt", facts),
        "classify.py": (_TEMPLATES / "classify.py").read_text("utf-8"),
        "facts.json": json.dumps({name: facts[name] for name in stated}, indent=1),
    }


def _text(name: str, facts: dict[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    helpers: dict[str, Callable[..., str]] = {
        "numbers": c_numbers,
        "string": c_string,
        "comment": c_comment,
    }
    return environment.get_template(name).render(**facts, **helpers)
