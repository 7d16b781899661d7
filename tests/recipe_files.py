"""Small recipes for tests of everything that runs one."""

from pathlib import Path

from tinyrefinery.recipe.detection import is_detection
from tinyrefinery.recipe.table import is_table, load_table

TINY = """
title: a tiny chain
data:
  source: {name: street_numbers, train: 96, validation: 40, test: 40, digits: 1, width: 32}
  train_crop: {name: inception, size: 16, area: [0.5, 1.0]}
  flip: 0.0
  workers: 0
stages:
  - id: plain
    model: {name: street_cnn, kwargs: {widths: [4, 8]}}
    optimizer: {name: sgd, lr: 0.05}
    schedule: {name: cosine}
    epochs: 2
    batch_size: 16
  - id: refined
    model: {name: street_cnn, kwargs: {widths: [4, 8]}}
    labels: {name: refined, by: plain}
    optimizer: {name: sgd, lr: 0.05}
    schedule: {name: cosine}
    epochs: 3
    batch_size: 16
engine: {threads: 1}
chain: {collapse: null}
"""


def write_tiny(folder: Path, text: str = TINY, name: str = "tiny.yaml") -> Path:
    """Write the recipe and return its path."""
    path = folder / name
    path.write_text(text)
    return path


def is_detector_table(path: Path) -> bool:
    """Whether a YAML file is a table whose recipe is a detector's."""
    return is_table(path) and is_detection(path.parent / load_table(path).recipe)
