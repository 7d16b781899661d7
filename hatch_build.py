"""Builds the optional extension of packed networks, when the package is installed or packed.

Without a C compiler, the package is installed without it, and packed networks run in NumPy.
`python hatch_build.py` builds it in place, for a source tree that is not installed.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface as Hook
except ImportError:  # only the build environment has it
    Hook = object  # type: ignore[assignment,misc]

FOLDER = Path(__file__).parent / "src/tinyrefinery/packed"
EXTENSION = "_native.abi3.so"
COMPILERS = ("cc", "gcc", "clang")
# Without -ffp-contract=off, processors with fused operations give other bits than NumPy.
FLAGS = ("-std=c99", "-O3", "-ffp-contract=off", "-fPIC", "-fvisibility=hidden")


def build_extension(folder: Path = FOLDER, options: tuple[str, ...] = ()) -> str:
    """Compile the extension.

    Args:
        folder: where to write it.
        options: more options of the compiler.

    Returns:
        Why it was not built; empty if it was.
    """
    target, partial = folder / EXTENSION, folder / f"{EXTENSION}.{os.getpid()}"
    target.unlink(missing_ok=True)  # an older one may not fit the sources
    if sys.platform == "win32":
        return "it needs gcc or clang on Linux or macOS"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "free-threaded Python has no stable ABI"
    compiler = os.environ.get("CC") or next(filter(shutil.which, COMPILERS), None)
    if compiler is None:
        return "there is no C compiler"
    is_mac = sys.platform == "darwin"
    link = ("-bundle", "-undefined", "dynamic_lookup") if is_mac else ("-shared",)
    command = [*compiler.split(), *FLAGS, *options, f"-I{sysconfig.get_path('include')}"]
    sources = sorted(map(str, (FOLDER / "native").glob("*.c")))
    try:
        done = subprocess.run(
            [*command, *link, *sources, "-o", str(partial)], capture_output=True, text=True
        )
    except OSError as error:
        return f"{compiler} can't be started ({error.strerror})"
    if done.returncode:
        partial.unlink(missing_ok=True)
        lines = [line for line in done.stderr.splitlines() if "error" in line] or ["no message"]
        return f"{compiler} failed: {lines[0]}"
    partial.replace(target)
    return ""


class ExtensionHook(Hook):
    """Adds the extension to wheels and editable installs, where it can be built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build it; without it, the wheel is pure Python."""
        if problem := build_extension():
            self.app.display_warning(f"packed networks will run in NumPy: {problem}")
            return
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{platform}"
        build_data["artifacts"].append(f"src/tinyrefinery/packed/{EXTENSION}")


if __name__ == "__main__":
    sys.exit(build_extension() or None)
