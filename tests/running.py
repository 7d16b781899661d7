"""Runs in tests: in this process or in one of their own."""

import os
import subprocess
import sys

from tests.recipe_files import TINY, write_tiny
from tinyrefinery.execution.execute import run
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.runs.plan import Job


def stage_folder(folder, stage):
    (found,) = folder.glob(f"stages/{stage}-*")
    return found


def weights(folder, stage):
    return (stage_folder(folder, stage) / "model.safetensors").read_bytes()


def go(tmp_path, folder="run", overrides=(), text=TINY):
    recipe = load_recipe(write_tiny(tmp_path, text), overrides)
    return run([Job(recipe)], tmp_path / folder)[0]


def command(*arguments, cwd, **options):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "tinyrefinery", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def finish(process, timeout=180):
    try:
        output, errors = process.communicate(timeout=timeout)
    finally:
        process.kill()  # where it took too long
    return process.returncode, output, errors
