"""Seconds that the import and the light commands take, and whether torch was imported.

And core-seconds until `run` trains on a small folder: imports, the recipe, the pictures, the run's
folder. Beside it `import torch` alone, and a first step of torch's SGD, which imports more of torch
(torch._dynamo) in every program that trains. pandas is hidden from `run`, as `opening.py` says why.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from opening import HIDE_PANDAS, write_pictures
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
RUN = (
    HIDE_PANDAS
    + """
import sys, tempfile
from tinyrefinery.cli.main import main
import tinyrefinery.execution.steps as steps
def stop(*arguments, **options):
    raise SystemExit
steps.fit_in_step = stop
with tempfile.TemporaryDirectory() as runs:
    options = ["data.source.root={root}", "--runs", runs, "--name", "it"]
    sys.argv[1:] = ["run", "starter/folder", *options]
    try:
        main()
    except SystemExit as end:
        assert not end.code, end.code
"""
)
STEP = """
import torch
linear = torch.nn.Linear(2, 2)
optimizer = torch.optim.SGD(linear.parameters(), lr=0.1)
linear(torch.ones(1, 2)).sum().backward()
optimizer.step()
"""
STARTS = {"import torch": "import torch", "torch's first step": STEP, "run, until it trains": RUN}
TELL = "\nimport sys; print('torch' in sys.modules, file=sys.stderr)"
PROGRAMS = {
    "python, nothing else": "",
    "import tinyrefinery": "import tinyrefinery",
    "tinyrefinery --help": COMMAND.format(arguments=["--help"]),
    "tinyrefinery recipe list": COMMAND.format(arguments=["recipe", "list"]),
}
LIMIT = 1.0
"""Seconds that none may take, and core-seconds that the start of a run may add to torch's."""
PICTURES = 200


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
    measure_run(short)


def measure_run(short: bool) -> None:
    """How much more than torch the start of `run` takes, measured in turns."""
    taken: dict[str, list[float]] = {name: [] for name in STARTS}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "pictures"
        write_pictures(root, PICTURES)
        for number in range(2 if short else 6):
            for name, program in STARTS.items():
                used = once(program.replace("{root}", str(root)))[1]
                if number:  # the first fills the caches
                    taken[name].append(used)
    imported, step, run = taken.values()
    figures = [Figure(name, "core-s", values) for name, values in taken.items()]
    for name, base in (("import torch", imported), ("torch's first step", step)):
        more = [each - least for each, least in zip(run, base, strict=True)]
        figures.append(Figure(f"run, beyond {name}", "core-s", more))
    report(f"Start of run (aim: {LIMIT:g} core-s beyond torch)", figures, keep=not short)


if __name__ == "__main__":
    main()
