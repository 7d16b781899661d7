"""The examples run as they stand, with few images and epochs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tinyrefinery as tr

EXAMPLES = Path(__file__).parents[2] / "examples"
PERMISSIVE = "tests: {any: {metric: accuracy, at_least: 0.0}}\n"
STRICT = "tests: {all: {metric: accuracy, at_least: 1.0}}\n"


def example(name, *arguments, cwd):
    """Exit code, output and errors of one example."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_student_is_trained_piece_by_piece(tmp_path):
    small = ("--images", 200, "--epochs", 2)
    code, output, errors = example("train_a_student.py", *small, cwd=tmp_path)
    assert code == 0, errors
    shares = re.findall(r"^(\w+): test accuracy (\d+\.\d)%$", output, re.MULTILINE)
    assert [name for name, _ in shares] == ["plain", "refiner", "refined"]
    for name, _ in shares:
        lines = (tmp_path / "runs/train_a_student" / name / "metrics.jsonl").read_text()
        assert [json.loads(line)["epoch"] for line in lines.splitlines()] == [1, 2]


def test_a_loop_of_ones_own_fills_and_reads_a_store(tmp_path):
    small = ("--images", 200, "--epochs", 2)
    code, output, errors = example("label_store_in_your_loop.py", *small, cwd=tmp_path)
    assert code == 0, errors
    assert output.count("student of width") == 2
    (folder,) = (tmp_path / "runs/labels").iterdir()
    store = tr.LabelStore(folder)
    assert list(store.streams()) == [0, 1]
    assert len(store) == 200
    assert store.verify() == []


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that the example trained: its folder, exit code and output."""
    folder = tmp_path_factory.mktemp("ci")
    small = ("--images", 200, "--epochs", 1)
    return folder / "runs/data_tests_in_ci", *example("data_tests_in_ci.py", *small, cwd=folder)


def test_data_tests_of_an_untrained_network_fail(run):
    folder, code, output, errors = run
    assert code == 1, errors  # one epoch of 200 images teaches nothing
    assert re.search(r"^FAIL +everything: accuracy 0\.\d+ of 2000 images, need >= ", output, re.M)
    assert "wrong: street-numbers/test/" in output
    assert (folder / "recipe.yaml").exists()


@pytest.mark.parametrize(("text", "expected"), [(PERMISSIVE, 0), (STRICT, 1), ("tests: 3\n", 2)])
def test_the_exit_code_is_the_verdict(run, tmp_path, text, expected):
    tests = tmp_path / "mine.yaml"
    tests.write_text(text)
    code, _, errors = example("data_tests_in_ci.py", run[0], tests, cwd=tmp_path)
    assert code == expected, errors
    assert "Traceback" not in errors
