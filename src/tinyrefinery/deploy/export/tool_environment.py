"""Python environments for tools that can't share one with torch: made on first use, kept."""

import logging
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from filelock import FileLock
from platformdirs import user_cache_path

from tinyrefinery.errors import RefineryError

log = logging.getLogger("tinyrefinery")
_DONE = ".complete"
_TAIL = 400
"""Characters of a tool's last output in an error."""


def cache_folder() -> Path:
    """Where tool environments are kept: TINYREFINERY_CACHE, else the user's cache folder."""
    named = os.environ.get("TINYREFINERY_CACHE")
    return (Path(named) if named else user_cache_path("tinyrefinery")) / "tools"


def tool_python(name: str, requirements: Path) -> Path:
    """The Python of a tool environment, which is made when it does not exist yet.

    Args:
        name: of the tool.
        requirements: pins every package; a change makes another environment.

    Raises:
        RefineryError: if packages can't be installed, e.g. without a network.
    """
    pins = requirements.read_bytes() + sys.version.split()[0].encode()
    folder = cache_folder() / f"{name}-{sha256(pins).hexdigest()[:12]}"
    if not (folder / _DONE).exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            if not (folder / _DONE).exists():
                _make(name, folder, requirements)
    return _python(folder)


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _make(name: str, folder: Path, requirements: Path) -> None:
    count = sum(line[:1].isalnum() for line in requirements.read_text().splitlines())
    log.info(f"{name} tools: installing {count} packages into {folder}, once (about a minute)")
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted installation left
    install = ["-m", "pip", "install", "--no-deps", "--ignore-requires-python", "-q"]
    try:
        run_logged([sys.executable, "-m", "venv", str(folder)], folder.with_suffix(".log"))
        run_logged(
            [str(_python(folder)), *install, "-r", str(requirements)], folder.with_suffix(".log")
        )
    except ToolError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise RefineryError(
            f"the {name} tools can't be installed ({error.last_line}). They are downloaded once "
            f"from the package index: check the network, then rerun. Log: {error.log}"
        ) from error
    (folder / _DONE).touch()


class ToolError(Exception):
    """A tool ended with an error; its output is in a log file."""

    def __init__(self, log_file: Path, output: str) -> None:
        super().__init__(output)
        self.log = log_file
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        self.last_line = lines[-1][-_TAIL:] if lines else "no output"


def run_logged(command: list[str], log_file: Path) -> None:
    """Run a command; its output goes into a log file.

    Raises:
        ToolError: if it fails.
    """
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", env=environment, check=False
    )
    output = done.stdout + done.stderr
    if done.returncode:
        log_file = log_file.with_stem(f"{log_file.stem}-{uuid4().hex[:8]}")
        log_file.parent.mkdir(parents=True, exist_ok=True)
        log_file.write_text(f"{' '.join(command)}\n{output}", encoding="utf-8")
        raise ToolError(log_file, output)
