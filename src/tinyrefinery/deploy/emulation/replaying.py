"""Replay the test vectors of an artifact on another processor, real or emulated."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tinyrefinery.deploy.bundle.bundling import Bundle, write_bundle
from tinyrefinery.deploy.emulation.tflm_library import (
    DEFINES,
    FLAGS,
    Library,
    build_library,
)
from tinyrefinery.deploy.export.side_files import VECTORS, read_record, read_vectors
from tinyrefinery.deploy.toolchain.processors import Processor, find_processor
from tinyrefinery.deploy.toolchain.programs import run_program, run_tool, start_options
from tinyrefinery.errors import DataError, RefineryError

_CODE = 3_500_000
"""Bytes for the model and its vectors on a board with 4 MB, the rest is for code."""


@dataclass(frozen=True)
class Replayed:
    """What a processor predicted."""

    processor: str
    n: int
    """Vectors."""
    same: int
    """Vectors whose outputs differ by no more than the tolerance."""
    difference: float
    """Largest difference of an output."""
    tolerance: float
    arena_used: int
    """Bytes."""
    instructions: int | None
    """Of an image, on a microcontroller. An image takes longer than one cycle for each of them."""

    @property
    def passed(self) -> bool:
        """Whether all vectors passed."""
        return self.same == self.n


def replay(
    artifact: str | Path, processor: str, tree: str | Path, say: Callable[[str], object]
) -> Replayed:
    """Build a program from the artifact's bundle, and run it.

    Args:
        artifact: LiteRT file, with its record and vectors beside it.
        processor: of `processors.PROCESSORS`.
        tree: source tree of LiteRT for Microcontrollers.
        say: called with progress messages.

    Raises:
        DataError: if the artifact can't be bundled, its model is too large for the board, or
            tools or the tree are missing.
        CheckpointError: if the artifact is damaged.
        RefineryError: if the program can't be built, or ends in an error.
    """
    path, chosen = Path(artifact), find_processor(processor)
    with TemporaryDirectory() as place:
        folder = Path(place)
        bundle = write_bundle(path, "mcu", folder / "bundle", vectors=_vectors(path, chosen))
        operators = bundle.facts["operators"]
        library = build_library(Path(tree).expanduser(), operators, chosen, say)
        program = _build(bundle, chosen, library, folder / "check")
        return _read(path.name, chosen, run_program(chosen, program))


def _vectors(path: Path, processor: Processor) -> int:
    """How many test vectors fit."""
    record = read_record(path)
    inputs = read_vectors(path, record).inputs
    most = min(VECTORS, len(inputs))
    if not processor.bare:
        return most
    fits = (_CODE - record["bytes"]) // inputs[0].nbytes
    if fits < 1:
        raise DataError(
            f"{path}: is too large for the emulated board, which has 4 MB. Replay it on aarch64"
        )
    return min(most, fits)


def _build(bundle: Bundle, processor: Processor, library: Library, program: Path) -> Path:
    command = [processor.compiler, *processor.flags, *FLAGS, *DEFINES, "-w"]
    command += [f"-I{folder}" for folder in library.includes]
    files = [str(file) for file in bundle.files if file.suffix == ".cc"]
    link = [str(library.archive), "-Wl,--gc-sections", "-o", str(program)]
    if processor.bare:
        command.append("-DCLASSIFIER_COUNTS_INSTRUCTIONS")
    run_tool([*command, *start_options(processor, program.parent), *files, *link])
    return program


def _read(name: str, processor: Processor, text: str) -> Replayed:
    told = re.search(
        r"(?:PASS|FAIL): (\d+) of (\d+) test vectors, outputs differ by at most (\S+) "
        r"\(tolerance (\S+)\)\s+arena: (\d+) of",
        text,
    )
    if told is None:
        last = " ".join(text.split()[-30:]) or "it printed nothing"
        raise RefineryError(f"{name}: the program for {processor.name} failed: {last}")
    counted = re.search(r"instructions: (\d+) per image", text)
    return Replayed(
        processor=processor.name,
        n=int(told[2]),
        same=int(told[1]),
        difference=float(told[3]),
        tolerance=float(told[4]),
        arena_used=int(told[5]),
        instructions=None if counted is None else int(counted[1]),
    )
