"""Seconds that the import and the light commands take, and whether torch was imported."""

import os
import subprocess
import sys
import time

from timing import Figure, quick, report

COMMAND = """
import sys
from tinyrefinery.cli.main import main
sys.argv[1:] = {arguments}
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""
TELL = "\nimport sys; print('torch' in sys.modules, file=sys.stderr)"
PROGRAMS = {
    "python, nothing else": "",
    "import tinyrefinery": "import tinyrefinery",
    "tinyrefinery --help": COMMAND.format(arguments=["--help"]),
    "tinyrefinery recipe list": COMMAND.format(arguments=["recipe", "list"]),
}
LIMIT = 1.0
"""Seconds that none may take."""


def once(program: str) -> tuple[float, float, bool]:
    """Run in a fresh process: seconds on the wall, CPU seconds, whether torch was imported."""
    before, began = os.times(), time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-c", program + TELL], capture_output=True, text=True, check=True
    )
    wall, after = time.perf_counter() - began, os.times()
    used = after.children_user - before.children_user + after.children_system
    return wall, used - before.children_system, ended.stderr.splitlines()[-1] == "True"


def main() -> None:
    """Measure, print, keep."""
    short = quick()
    runs: dict[str, list[tuple[float, float, bool]]] = {name: [] for name in PROGRAMS}
    for number in range(3 if short else 6):
        for name, program in PROGRAMS.items():
            result = once(program)
            if number:  # the first fills the file cache
                runs[name].append(result)
    figures = []
    for name, results in runs.items():
        note = ", torch imported" if any(torch for _, _, torch in results) else ""
        figures.append(Figure(name + note, "s on the wall", [wall for wall, _, _ in results]))
        figures.append(Figure(name + note, "core-s", [used for _, used, _ in results]))
    report(f"Start (aim: below {LIMIT:g} s, without torch)", figures, keep=not short)


if __name__ == "__main__":
    main()
