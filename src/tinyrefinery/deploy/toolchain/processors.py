"""Processors on which an artifact can be replayed, with their compilers and emulators.

Sources: the boards of QEMU's `mps2` machines are Arm's application notes AN385 (Cortex-M3), AN386
(Cortex-M4) and AN500 (Cortex-M7), each with 4 MB of code and 4 MB of data memory.
"""

import shutil
from dataclasses import dataclass

from tinyrefinery.errors import DataError, look_up


@dataclass(frozen=True)
class Processor:
    """A processor."""

    name: str
    compiler: str
    """C++ compiler; Debian's name."""
    flags: tuple[str, ...]
    emulator: tuple[str, ...] = ()
    """Command before the program; empty: this machine runs it."""
    bare: bool = False
    """Without an operating system: needs start code, and memory for the whole program."""

    @property
    def c_compiler(self) -> str:
        """Of the same tools as the compiler."""
        return self.compiler.replace("g++", "gcc")

    @property
    def sizer(self) -> str:
        """Of the same tools as the compiler."""
        return f"{self.compiler.removesuffix('g++')}size"

    @property
    def archiver(self) -> str:
        """Of the same tools as the compiler."""
        prefix = self.compiler.removesuffix("g++")
        return f"{prefix}ar"

    @property
    def missing_tools(self) -> list[str]:
        """Programs that are not installed, without the emulator."""
        needed = (self.c_compiler, self.sizer)
        return [program for program in needed if shutil.which(program) is None]

    @property
    def missing(self) -> list[str]:
        """Programs that are not installed."""
        needed = [self.compiler, self.archiver, *self.emulator[:1]]
        return [program for program in needed if shutil.which(program) is None]


def _cortex(name: str, board: str, *flags: str) -> Processor:
    emulator = ("qemu-system-arm", "-machine", board, "-nographic", "-monitor", "none")
    emulator += ("-serial", "none", "-semihosting-config", "enable=on,target=native")
    # One instruction takes one nanosecond of the board's clock, so instructions can be counted.
    emulator += ("-icount", "shift=0", "-kernel")
    flags = ("-mthumb", f"-mcpu={name}", *flags)
    return Processor(name, "arm-none-eabi-g++", flags, emulator, bare=True)


PROCESSORS = {
    each.name: each
    for each in (
        Processor("host", "g++", ()),
        Processor("aarch64", "aarch64-linux-gnu-g++", ("-static",), ("qemu-aarch64",)),
        Processor("arm", "arm-linux-gnueabihf-g++", ("-static",), ("qemu-arm",)),
        _cortex("cortex-m3", "mps2-an385"),
        _cortex("cortex-m4", "mps2-an386", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"),
        _cortex("cortex-m7", "mps2-an500", "-mfloat-abi=hard", "-mfpu=fpv5-d16"),
    )
}
"""By name."""


def find_processor(name: str) -> Processor:
    """The processor of a name, with its tools installed.

    Raises:
        RefineryError: if there is none of that name.
        DataError: if a program of its tools is missing.
    """
    processor = look_up("processor", name, PROCESSORS)
    if missing := processor.missing:
        raise DataError(
            f"{name}: {', '.join(missing)} not found. Debian has them in the packages "
            f"{_PACKAGES[processor.compiler]}"
        )
    return processor


_PACKAGES = {
    "g++": "g++ and binutils",
    "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu and qemu-user",
    "arm-linux-gnueabihf-g++": "g++-arm-linux-gnueabihf and qemu-user",
    "arm-none-eabi-g++": "gcc-arm-none-eabi, libstdc++-arm-none-eabi-newlib and qemu-system-arm",
}
