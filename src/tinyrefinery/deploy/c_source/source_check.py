"""Compile the C sources of a network for a processor, replay their vectors, and measure them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tinyrefinery.deploy.toolchain.processors import PROCESSORS, Processor, find_processor
from tinyrefinery.deploy.toolchain.programs import (
    Size,
    run_program,
    run_tool,
    size_of,
    start_options,
)
from tinyrefinery.errors import CheckpointError, RefineryError

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion")
MEASURED = ("cortex-m4", "host")
"""Processors whose flash and RAM are reported: the first one whose tools are installed."""


@dataclass(frozen=True)
class SourceCheck:
    """What a processor computed."""

    processor: str
    vectors: int
    outputs: int
    """Of all vectors."""
    different: int
    """Outputs that are not as expected."""
    size: Size
    instructions: int | None
    """Per image, on a microcontroller."""

    @property
    def passed(self) -> bool:
        """Whether all outputs are as expected."""
        return self.different == 0


def check_sources(folder: Path, processor: str, options: Sequence[str] = ("-Os",)) -> SourceCheck:
    """Build the check of a folder of sources, and run it.

    Args:
        folder: what `export --to c` wrote.
        processor: of `PROCESSORS`.
        options: of the compiler.

    Raises:
        CheckpointError: if the folder holds no sources.
        DataError: if tools are missing.
        RefineryError: if the sources do not compile, or the program fails.
    """
    name, chosen = _name(folder), find_processor(processor)
    with TemporaryDirectory() as place:
        target, program = (
            _compile(folder, name, chosen, options, Path(place)),
            Path(place) / "check",
        )
        command = [chosen.c_compiler, *chosen.flags, *STRICT, *options, f"-I{folder}"]
        if chosen.bare:
            command.append("-DCOUNTS_INSTRUCTIONS")
        sources = [str(target), str(folder / f"{name}_check.c")]
        start = start_options(chosen, Path(place))
        run_tool([*command, *start, *sources, "-Wl,--gc-sections", "-o", str(program)])
        text, size = run_program(chosen, program), size_of(chosen, target)
    told = re.search(r"(\d+) of (\d+) outputs of (\d+) test vectors differ", text)
    if told is None:
        last = " ".join(text.split()[-30:]) or "it printed nothing"
        raise RefineryError(f"{folder}: the program for {processor} failed: {last}")
    counted = re.search(r"instructions: (\d+) per image", text)
    numbers = (int(told[3]), int(told[2]), int(told[1]))
    return SourceCheck(processor, *numbers, size, None if counted is None else int(counted[1]))


def measure_sources(folder: Path, processor: str, options: Sequence[str] = ("-Os",)) -> Size:
    """Flash and RAM of a network's sources, without its check.

    Raises:
        CheckpointError: if the folder holds no sources.
        DataError: if tools are missing.
        RefineryError: if the sources do not compile.
    """
    chosen = find_processor(processor)
    with TemporaryDirectory() as place:
        return size_of(chosen, _compile(folder, _name(folder), chosen, options, Path(place)))


def measured_processor() -> str | None:
    """The processor for which flash and RAM can be measured here; None without any compiler."""
    return next((name for name in MEASURED if not PROCESSORS[name].missing_tools), None)


def _name(folder: Path) -> str:
    checks = sorted(folder.glob("*_check.c"))
    if len(checks) != 1:
        raise CheckpointError(
            f"{folder}: holds no C sources of one network. Name the artifact itself, or "
            "write them: tinyrefinery export MODEL --to c"
        )
    return checks[0].stem.removesuffix("_check")


def _compile(
    folder: Path, name: str, processor: Processor, options: Sequence[str], place: Path
) -> Path:
    target = place / f"{name}.o"
    command = [processor.c_compiler, *processor.flags, *STRICT, *options, "-ffunction-sections"]
    run_tool([*command, "-c", str(folder / f"{name}.c"), "-o", str(target)])
    return target
