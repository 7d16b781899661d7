"""Whether `verify` notices flipped bits: single random bits of an artifact's weights.

    python benchmarks/bit_flips.py OUT.csv ARTIFACT...

The artifact is copied. One bit at a time is flipped in the bytes of its weights: the constants of
a LiteRT file, the initializers of an ONNX file. Adds one row per artifact. `outputs` counts the
flips that the test vectors alone would notice: no digest is compared for it.
"""

import csv
import sys
from pathlib import Path
from shutil import copy
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tinyrefinery.deploy.export.side_files import (
    read_record,
    read_vectors,
    record_file,
    vectors_file,
)
from tinyrefinery.deploy.export.verification import open_artifact, predict_one_by_one, verify
from tinyrefinery.errors import RefineryError

FLIPS = 1000
LEAST = 64
"""Bytes of a constant that counts as weights."""
COLUMNS = ("artifact", "bytes", "weights", "flips", "noticed", "outputs")


def weight_bytes(path: Path) -> np.ndarray:
    """Offsets in a file of all bytes of its constants."""
    content = path.read_bytes()
    parts = _onnx_constants(content) if path.suffix == ".onnx" else _litert_constants(content)
    places = []
    for part in dict.fromkeys(part for part in parts if len(part) >= LEAST):
        start = content.find(part)
        assert start >= 0
        places.append(np.arange(start, start + len(part)))
    return np.unique(np.concatenate(places))


def _onnx_constants(content: bytes) -> list[bytes]:
    import onnx

    model = onnx.load_from_string(content)
    return [tensor.raw_data for tensor in model.graph.initializer]


def _litert_constants(content: bytes) -> list[bytes]:
    from ai_edge_litert import schema_py_generated

    schema: Any = schema_py_generated
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    kept = [model.buffers[number].data for number in sorted(used)]
    return [bytes(np.asarray(data, np.uint8)) for data in kept if data is not None]


def is_noticed(artifact: Path) -> bool:
    """Whether `verify` fails or the artifact doesn't pass."""
    try:
        return not verify(artifact).passed
    except RefineryError:
        return True


def outputs_differ(artifact: Path) -> bool:
    """Whether the test vectors alone notice it."""
    vectors = read_vectors(artifact, read_record(artifact))
    try:
        found = predict_one_by_one(open_artifact(artifact), vectors.inputs)
    except (RefineryError, ValueError):
        return True
    difference = np.abs(found - vectors.outputs).max()
    return not difference <= vectors.tolerance


def measure(source: Path, flips: int = FLIPS) -> tuple[int, int, int, int, int]:
    """Bytes, bytes of weights, flips, flips noticed, flips that the outputs show."""
    places = weight_bytes(source)
    draws = np.random.default_rng(0)
    chosen = draws.integers(0, 8 * len(places), flips)
    noticed = shown = 0
    with TemporaryDirectory() as folder:
        for path in (source, record_file(source), vectors_file(source)):
            copy(path, folder)
        artifact = Path(folder) / source.name
        content = bytearray(source.read_bytes())
        for number in chosen:
            place, bit = int(places[number // 8]), 1 << int(number % 8)
            content[place] ^= bit
            artifact.write_bytes(content)
            noticed += is_noticed(artifact)
            shown += outputs_differ(artifact)
            content[place] ^= bit
    return len(content), len(places), flips, noticed, shown


def main(out: Path, artifacts: list[str]) -> None:
    """Add a row per artifact."""
    is_new = not out.exists()
    with out.open("a", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        if is_new:
            lines.writerow(COLUMNS)
        for artifact in map(Path, artifacts):
            lines.writerow((artifact.name, *measure(artifact)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
