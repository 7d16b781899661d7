"""Tools such as the LiteRT converter in Python environments of their own, made on first use.

They pin versions of packages that this package uses too, so they can't share an environment. Each
lies in the cache folder, one per set of pinned packages and version of Python. Only torch, which
takes gigabytes, is shared where its version fits.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import distribution, version
from pathlib import Path

from filelock import FileLock

from tinyrefinery.errors import RefineryError, StorageError
from tinyrefinery.files import cache_folder, write_atomic

PACKAGES = (
    "absl-py==2.5.1",
    "ai-edge-litert==2.3.0",
    "ai-edge-quantizer==0.10.0",
    "flatbuffers==25.12.19",
    "immutabledict==4.3.1",
    "litert-lm-builder==0.18.1",
    "ml_dtypes==0.6.0",
    "numpy==2.4.6",
    "onnx==1.23.2",
    "onnx2tf==2.6.9",
    "onnxruntime==1.32.0",
    "packaging==26.4",
    "protobuf==7.36.2",
    "psutil==7.2.2",
    "scipy==1.17.1",
    "sng4onnx==2.0.1",
    "tqdm==4.70.1",
    "typing_extensions==4.16.0",
)
"""All packages of the environment. onnx2tf asks for older ones and Python 3.12, but runs on these
and Python 3.11, so they are installed without a check of what they ask for."""


@dataclass(frozen=True)
class Tools:
    """What an environment is for."""

    name: str
    """Of its folder."""
    title: str
    """For messages."""
    packages: tuple[str, ...]
    """All of them, with versions."""
    size: str
    """For messages."""
    otherwise: str
    """What works without it, as a sentence without a full stop."""
    torch: str = ""
    """Version of torch that they are built for; "": none. This environment's torch is shared if
    it is of that minor version. Else one of their own is installed."""


LITERT = Tools(
    name="litert",
    title="the LiteRT converter",
    packages=PACKAGES,
    size="about 500 MB",
    otherwise="Other targets work without it, e.g. --to onnx",
)
SET_UP = "python -m tinyrefinery.device.tool_environment"
"""Makes the environment of the LiteRT converter, for a later use without a connection."""
_COMPLETE = "complete"
_LAST_LINES = 3


def tool_python(say: Callable[[str], object], tools: Tools | None = None) -> Path:
    """The Python of the environment, which is made if it is missing.

    Args:
        say: called with a progress message before the environment is made.
        tools: what it is for; None: `LITERT`.

    Raises:
        RefineryError: if it can't be made, e.g. without a connection.
        StorageError: if the cache folder is not writable.
    """
    tools = tools or LITERT
    folder = tool_folder(tools)
    if not (folder / _COMPLETE).exists():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{folder}.lock"):
                if not (folder / _COMPLETE).exists():
                    say(f"setting up {tools.title} in {folder} ({tools.size}, only once)")
                    _make(folder, tools)
        except OSError as error:
            raise StorageError(
                f"{folder}: is not writable ({error.strerror or error}). Free some disk space, or "
                "name another cache folder in TINYREFINERY_CACHE"
            ) from error
    return _python(folder)


def is_ready(tools: Tools | None = None) -> bool:
    """Whether an environment, that of `LITERT` if none is named, is there."""
    return (tool_folder(tools) / _COMPLETE).exists()


def tool_folder(tools: Tools | None = None) -> Path:
    """Folder of an environment, of `LITERT` if none is named, whether it is there or not."""
    tools = tools or LITERT
    torch = []
    if tools.torch:
        shared = shared_torch(tools)
        torch = [tools.torch] if shared is None else [version("torch"), str(shared)]
    facts = "\n".join([*tools.packages, *torch, sys.version, sys.platform])
    return cache_folder() / "tools" / f"{tools.name}-{sha256(facts.encode()).hexdigest()[:12]}"


def shared_torch(tools: Tools) -> Path | None:
    """Folder of packages with the torch that tools share; None: they share none."""
    if not tools.torch or version("torch").split(".")[:2] != tools.torch.split(".")[:2]:
        return None
    return Path(str(distribution("torch").locate_file("")))


def _python(folder: Path) -> Path:
    windows = folder / "Scripts" / "python.exe"
    return windows if windows.exists() else folder / "bin" / "python"


def _make(folder: Path, tools: Tools) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # left by an interrupted attempt
    log = folder.with_suffix(".log")
    _run([sys.executable, "-m", "venv", str(folder)], log, tools)
    install = [str(_python(folder)), "-m", "pip", "install"]
    install += ["--disable-pip-version-check", "--no-input"]
    shared = shared_torch(tools)
    if tools.torch and shared is None:
        _run([*install, f"torch=={tools.torch}"], log, tools)  # with what it asks for
    _run([*install, "--no-deps", "--ignore-requires-python", *tools.packages], log, tools)
    if shared is not None:
        _share(folder, shared)
    write_atomic(folder / _COMPLETE, "\n".join(tools.packages))


def _share(folder: Path, packages: Path) -> None:
    """Let an environment import what it lacks from another folder of packages."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.check_output([str(_python(folder)), "-c", code], text=True).strip()
    (Path(own) / "shared.pth").write_text(f"{packages}\n", "utf-8")


def _run(command: Sequence[str], log: Path, tools: Tools) -> None:
    failed = run_logged(command, log)
    if failed is not None:
        raise RefineryError(
            f"{tools.title} can't be installed: {failed}. It needs a connection to a package "
            f"index, once. The log is in {log}. {tools.otherwise}"
        )


def run_logged(command: Sequence[str], log: Path) -> str | None:
    """Run a command with its prints in a log file.

    Returns:
        None, or if it fails the last lines that it printed, as one text.
    """
    with log.open("wb") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)
    if not done.returncode:
        return None
    text = log.read_text("utf-8", errors="replace").replace("\r", "\n")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[-_LAST_LINES:]) or f"exit code {done.returncode}"


def _main() -> None:
    """Make the environment of the LiteRT converter."""
    try:
        tool_python(print)
    except RefineryError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    _main()
