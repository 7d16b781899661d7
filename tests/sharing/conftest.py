"""Two small runs: a chain, and a student of another run's network."""

import pytest

from tests.recipe_files import TINY
from tests.running import go, stage_folder

FILE_STUDENT = """
title: a student of a file
data:
  source: {name: street_numbers, train: 60, validation: 20, test: 20, digits: 1, width: 32, seed: 1}
  train_crop: {name: inception, size: 16, area: [0.5, 1.0]}
  flip: 0.0
  workers: 0
stages:
  - id: student
    model: {name: street_cnn, kwargs: {widths: [4, 8]}}
    labels: {name: refined, by: FILE}
    optimizer: {name: sgd, lr: 0.05}
    schedule: {name: cosine}
    epochs: 1
    batch_size: 16
engine: {threads: 1}
chain: {collapse: null}
"""


@pytest.fixture(scope="session")
def _chain_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sharing")
    go(folder, "teacher", text=TINY)
    return folder / "teacher"


@pytest.fixture(scope="session")
def _file_run(tmp_path_factory, _chain_run):
    folder = tmp_path_factory.mktemp("sharing_file")
    file = stage_folder(_chain_run, "refined") / "model.safetensors"
    go(folder, "student", text=FILE_STUDENT.replace("FILE", f"file:{file}"))
    return folder / "student"


def _copied(run, place):
    from shutil import copytree

    return copytree(run, place)


@pytest.fixture
def chain_run(tmp_path, _chain_run):
    """A copy, with stages plain and refined."""
    return _copied(_chain_run, tmp_path / "teacher")


@pytest.fixture
def file_run(tmp_path, _file_run):
    """A copy, with one stage that the refined stage of another run refined."""
    return _copied(_file_run, tmp_path / "student")


@pytest.fixture
def teacher_file(_chain_run):
    """The network that refined `file_run`, where that run finds it."""
    return stage_folder(_chain_run, "refined") / "model.safetensors"
