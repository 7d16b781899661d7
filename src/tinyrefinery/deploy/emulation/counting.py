"""Count the instructions of a LiteRT file for one image, on an emulated microcontroller."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tinyrefinery.deploy.emulation.replaying import replay
from tinyrefinery.deploy.export.artifact_facts import INSIDE
from tinyrefinery.deploy.export.side_files import Vectors, write_artifact
from tinyrefinery.deploy.export.verification import open_artifact
from tinyrefinery.deploy.toolchain.processors import PROCESSORS
from tinyrefinery.device.host_latency import noise_for
from tinyrefinery.errors import DataError

_ANY = 1e30
"""Tolerance: only instructions count here. `verify` compares the predictions."""


@dataclass(frozen=True)
class Counted:
    """What one image costs on an emulated processor, with reference kernels."""

    processor: str
    instructions: int
    arena_used: int
    """Bytes."""


def check_counting(processor: str) -> None:
    """Refuse a processor whose instructions are not counted.

    Raises:
        DataError: naming those that are.
    """
    counting = [name for name, each in PROCESSORS.items() if each.bare]
    if processor not in counting:
        raise DataError(f"--on {processor}: instructions are counted on {', '.join(counting)} only")


def count_instructions(
    file: Path, processor: str, tree: Path, say: Callable[[str], object]
) -> Counted:
    """Build a program of a LiteRT file, and run it on noise in an emulator.

    Args:
        file: any LiteRT file that takes one image.
        processor: e.g. `cortex-m4`.
        tree: source tree of LiteRT for Microcontrollers.
        say: called with progress messages.

    Raises:
        DataError: if tools or the tree are missing, the library lacks an operator, or the file is
            too large for the emulated board.
        RefineryError: if the program can't be built, or ends in an error.
    """
    check_counting(processor)
    network = open_artifact(file, threads=1)
    image = noise_for(network)
    outputs = network.infer(image)
    facts = {
        **{"version": "", "network": file.stem, "preprocessing": INSIDE, "input": "noise"},
        **{"output": "any", "channels": network.channels, "size": image.shape[1:3]},
        **{"mean": [0.0] * network.channels, "std": [1.0] * network.channels},
        "classes": [str(number) for number in range(outputs.shape[1])],
    }
    with TemporaryDirectory() as place:
        copy = Path(place) / "network.tflite"
        write_artifact(copy, file.read_bytes(), Vectors(image, outputs, _ANY), facts)
        say(f"counting instructions of {file.name} on {processor}")
        found = replay(copy, processor, tree, say)
    if not np.isfinite(found.difference) or found.instructions is None:
        raise DataError(f"{file.name}: {processor} gave no numbers")
    return Counted(processor, found.instructions, found.arena_used)
