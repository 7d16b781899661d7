"""A tiny detector for tests of everything that runs one."""

from pathlib import Path

from tests.weights_digest import weights_digest
from tinyrefinery.detection import finished_detectors as detection_look
from tinyrefinery.detection.detector_file import load_detector
from tinyrefinery.detection.detector_run import run_detectors
from tinyrefinery.options.messages import check
from tinyrefinery.recipe.detection import DetectionRecipe
from tinyrefinery.recipe.document import parse
from tinyrefinery.recipe.overrides import apply
from tinyrefinery.runs.plan import DetectorJob, seeded

TINY = """
title: a tiny detector
data:
  source: {name: shapes, train: 20, validation: 6, test: 6, side: 64}
detector:
  backbone: {name: resnet8, kwargs: {stem: imagenet}}
  size: 64
  extra: [16]
training:
  optimizer: {name: sgd, lr: 0.01}
  schedule: {name: cosine}
  epochs: 3
  batch_size: 8
  ema: 0.9
  evaluate_every: 2
engine: {device: cpu, threads: 1}
"""


def run_detection(recipe, folder, seeds=1):
    return run_detectors([DetectorJob(each) for each in seeded(recipe, seeds)], folder)


def tiny(*overrides: str) -> DetectionRecipe:
    return check(apply(parse(TINY), list(overrides)), DetectionRecipe, "tiny")


def digest(folder: Path) -> str:
    return weights_digest(load_detector(folder / "model.safetensors")[0])


def measured(path, *overrides, split="test"):
    """What `measure_again` gives, by seed."""
    found = detection_look.measure_again(path, overrides, split)
    return {each.seed: found[each.key] for each in detection_look.detectors(path)}
