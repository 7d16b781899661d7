"""Seconds that opening a folder of 50,000 small JPEGs takes: first, again, and without kept pixels.

Each opening is in a process of its own, which has imported torch before. Near copies have been
looked for before: their cache is not measured here.

`tinyrefinery` does not need pandas, but pyarrow imports it where it is installed (other packages
bring it). So each opening hides it, as on a machine that has the base package alone, and one more
opening finds it.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import simplejpeg
from timing import Figure, quick, report

HIDE_PANDAS = """
from importlib.machinery import PathFinder
find = PathFinder.find_spec
def find_others(name, *rest):
    return None if name == "pandas" else find(name, *rest)
PathFinder.find_spec = find_others
"""
"""A program that starts with these lines does not find pandas."""
OPEN = """
import json, os, sys, time
if sys.argv[2] == "hidden":
    exec(sys.argv[3])
import torch
from tinyrefinery.data.open import open_data
before, began = os.times(), time.perf_counter()
data = open_data("folder", root=sys.argv[1])
wall, after = time.perf_counter() - began, os.times()
print(json.dumps([after.user + after.system - before.user - before.system, wall]))
"""
CLASSES, SIDE = 10, 32
LIMIT = 1.0
"""Core-seconds that the second opening may take."""


def write_pictures(root: Path, count: int) -> None:
    """Smooth random pictures, none like another, in class folders."""
    random = np.random.default_rng(0)
    ramp = np.linspace(0, 1, SIDE)
    for number in range(count):
        corners = random.integers(0, 256, (2, 2, 3)).astype(float)
        # (2, 2, 3) -> (32, 2, 3) -> (32, 32, 3)
        columns = corners[0] + ramp[:, None, None] * (corners[1] - corners[0])
        pixels = columns[:, :1] + ramp[None, :, None] * (columns[:, 1:] - columns[:, :1])
        folder = root / f"class {number % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        noisy = pixels + random.normal(0, 20, pixels.shape)
        content = simplejpeg.encode_jpeg(noisy.clip(0, 255).astype(np.uint8), 90)
        (folder / f"{number:05}.jpg").write_bytes(content)


def opened(root: Path, cache: Path, pandas: str = "hidden") -> tuple[float, float]:
    """Core-seconds and seconds on the wall of one opening."""
    ended = subprocess.run(
        [sys.executable, "-c", OPEN, str(root), pandas, HIDE_PANDAS],
        env=os.environ | {"TINYREFINERY_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    core, wall = json.loads(ended.stdout)
    return core, wall


def main() -> None:
    """Measure, print, keep."""
    short = quick()
    count, rounds = (2000, 2) if short else (50_000, 3)
    taken: dict[str, list[tuple[float, float]]] = {
        "first": [], "second": [], "pandas": [], "no pixels": [],
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        root, cache = Path(folder) / "pictures", Path(folder) / "cache"
        write_pictures(root, count)
        opened(root, cache)  # finds near copies
        for _ in range(rounds):
            for kept in ("verified", "pixels"):
                shutil.rmtree(cache / kept)
            taken["first"].append(opened(root, cache))
            taken["second"].append(opened(root, cache))
            taken["pandas"].append(opened(root, cache, "found"))
            shutil.rmtree(cache / "pixels")
            taken["no pixels"].append(opened(root, cache))
    names = {
        "first": "first opening",
        "second": "second opening",
        "pandas": "second opening, pandas installed",
        "no pixels": "second opening, facts kept but no pixels",
    }
    figures = []
    for kind, name in names.items():
        for unit, column in (("core-s", 0), ("s on the wall", 1)):
            figures.append(Figure(name, unit, [each[column] for each in taken[kind]]))
    report(
        f"{count:,} JPEGs of {SIDE}x{SIDE} (aim: below {LIMIT:g} core-s)", figures, keep=not short
    )


if __name__ == "__main__":
    main()
