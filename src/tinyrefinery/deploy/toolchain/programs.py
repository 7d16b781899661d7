"""Compile programs for a processor, and run them there or in its emulator."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyrefinery.deploy.toolchain.processors import Processor
from tinyrefinery.errors import RefineryError

_SOURCES = Path(__file__).parent / "sources"
_LIMIT = 600
"""Seconds until a program counts as hanging."""
_CODE, _CONSTANTS, _DATA, _ZEROED = ".text", ".rodata", ".data", ".bss"


@dataclass(frozen=True)
class Size:
    """Bytes of an object file, by its sections."""

    code: int
    constants: int
    data: int
    """Variables with a first value: they take flash and RAM."""
    zeroed: int
    """Other variables."""

    @property
    def flash(self) -> int:
        """Of a program that contains it."""
        return self.code + self.constants + self.data

    @property
    def ram(self) -> int:
        """Static memory; the stack comes on top."""
        return self.data + self.zeroed


def run_tool(command: Sequence[str]) -> str:
    """Run a compiler or the like; returns what it printed.

    Raises:
        RefineryError: if it fails, with the first error that it printed.
    """
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        lines = [
            line for line in done.stderr.splitlines() if "error" in line or "undefined" in line
        ]
        text = (lines or done.stderr.splitlines() or [f"exit code {done.returncode}"])[0]
        raise RefineryError(f"{command[0]}: {text.strip()}")
    return done.stdout


def start_options(processor: Processor, folder: Path) -> list[str]:
    """Options that link a program for a board without an operating system; else none.

    Args:
        processor: the board's.
        folder: where its start code is compiled.

    Raises:
        RefineryError: if the start code does not compile.
    """
    if not processor.bare:
        return []
    start = folder / "start.o"
    files = ["-c", str(_SOURCES / "start.c"), "-o", str(start)]
    run_tool([processor.c_compiler, *processor.flags, "-Os", "-ffreestanding", *files])
    link = ["--specs=rdimon.specs", "-nostartfiles", str(start)]
    return [*link, "-T", str(_SOURCES / "mps2.ld")]


def run_program(processor: Processor, program: Path) -> str:
    """What a program printed.

    Raises:
        RefineryError: if it hangs.
    """
    try:
        done = subprocess.run(
            [*processor.emulator, str(program)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RefineryError(f"{processor.name}: no answer after {_LIMIT} seconds") from error
    return done.stdout + done.stderr


def size_of(processor: Processor, file: Path) -> Size:
    """Bytes of an object file, by the `size` of the processor's tools.

    Raises:
        RefineryError: if it can't be read.
    """
    text = run_tool([processor.sizer, "-A", str(file)])
    sections = re.findall(r"^(\.\S+)\s+(\d+)\s", text, re.MULTILINE)

    def total(start: str) -> int:
        return sum(int(n) for name, n in sections if name == start or name.startswith(f"{start}."))

    return Size(*(total(start) for start in (_CODE, _CONSTANTS, _DATA, _ZEROED)))
