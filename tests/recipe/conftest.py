"""A small good recipe, and ways to write and break it."""

from collections.abc import Callable
from pathlib import Path

import pytest

GOOD = """
title: small
data:
  source: {name: street_numbers}
  train_crop: {name: inception, size: [32, 48]}
stages:
  - id: resnet50
    model: {name: resnet50}
    optimizer: {name: sgd, lr: 0.1}
    schedule: {name: step, at: [140, 170]}
    epochs: 200
  - id: alexnet
    model: {name: alexnet}
    labels: {name: refined, by: resnet50}
    optimizer: {name: sgd, lr: 0.01, momentum: 0.9}
    schedule: {name: cosine}
    epochs: 200
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    return path


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def written(text: str, name: str = "recipe.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return written
