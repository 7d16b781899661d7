"""Run folders as real runs leave them, around networks that were hardly trained."""

import csv
import json
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from tinyrefinery.data.open import open_data
from tinyrefinery.evaluation.predictions import Predictions, predict
from tinyrefinery.models import create
from tinyrefinery.models.network_file import load_network, save_network
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.network_view import network_view
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.runs.image_record import image_table, write_images

CLASSES = ("no_person", "person")
RECIPE = """
title: persons
data:
  source: {{name: folder, root: {root}, channels: 1}}
  train_crop: {{name: inception, size: 16, area: [0.5, 1.0]}}
  mean: [0.5]
  std: [0.25]
  flip: 0.0
  workers: 0
stages:
  - id: plain
    model: {{name: street_cnn, kwargs: {{widths: [4, 8]}}}}
    optimizer: {{name: sgd, lr: 0.05}}
    schedule: {{name: cosine}}
    epochs: 2
    batch_size: 16
  - id: refined
    model: {{name: street_cnn, kwargs: {{widths: [4, 8]}}}}
    labels: {{name: refined, by: plain}}
    optimizer: {{name: sgd, lr: 0.05}}
    schedule: {{name: cosine}}
    epochs: 3
    batch_size: 16
engine: {{device: cpu, threads: 1}}
chain: {{collapse: null}}
"""
POSES = ("front", "back", "")


def write_photos(root: Path, n: int = 240, size: tuple[int, int] = (24, 20)) -> Path:
    """Pictures with a metadata.csv: three quarters are test images, persons are a bright bar."""
    random = np.random.default_rng(0)
    (root / "test").mkdir(parents=True)
    (root / "train").mkdir()
    lines = [["file_name", "label", "split", "pose", "distance_m"]]
    for i in range(n):
        split = "train" if i % 4 == 3 else "test"
        pixels = random.integers(20, 120, size, dtype=np.uint8)
        if i % 2:
            pixels[4:-4, 6:12] = random.integers(100, 250)
        name = f"{split}/{i:04d}.png"
        Image.fromarray(pixels).save(root / name)
        lines.append([name, CLASSES[i % 2], split, POSES[i % 3], f"{i % 10}.5"])
    with (root / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    return root


def write_run(
    folder: Path, photos: Path, seeds: tuple[int, ...] = (0,), classes: tuple[str, ...] = CLASSES
) -> Path:
    """A run of two stages at some seeds."""
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(RECIPE.format(root=photos))
    for generation, stage in enumerate(("plain", "refined"), 1):
        for seed in seeds:
            _write_stage(folder, photos, stage, seed, generation, classes)
    return folder


def _write_stage(
    folder: Path, photos: Path, stage: str, seed: int, generation: int, classes: tuple[str, ...]
) -> None:
    key = sha256(f"{folder.name} {stage} {seed}".encode()).hexdigest()
    place = folder / "stages" / f"{stage}-{key[:8]}"
    place.mkdir(parents=True)
    data = open_data("folder", root=photos, channels=1)
    write_images(folder, data.manifest.digest, image_table(data.manifest))
    facts = {"stage": stage, "key": key, "kind": "classifier", "seed": seed, "rows": []}
    facts |= {"model": "street_cnn", "labels": "ground truth", "refiners": []}
    facts |= {"generation": generation, "data": data.manifest.digest[:16]}
    (place / "stage.json").write_text(json.dumps(facts))
    (place / "evaluation.json").write_text("{}")
    write_network(place / "model.safetensors", f"{stage} {seed} {folder.name}", classes)
    file, recipe = place / "model.safetensors", load_recipe(folder / "recipe.yaml")
    network = load_network(file)[0]
    known = Network(stage, f"file:{file}", "file", file, key, folder)
    view = network_view(known, data, torch.device("cpu"), recipe)
    known = view.dataset
    for split in ("train", "validation", "test"):
        rows = known.manifest.rows(split)
        predict(network, view, rows).save(place / f"predictions-{split}.parquet")
    (place / "done.json").write_text(json.dumps({"key": key}))


KWARGS = {"widths": [4, 8]}


@lru_cache
def network_of(name: str, classes: tuple[str, ...]) -> nn.Module:
    """A network that has looked at a few bright bars; it follows from its name."""
    torch.manual_seed(int(sha256(name.encode()).hexdigest()[:8], 16))
    network = create("street_cnn", len(classes), size=(16, 16), channels=1, **KWARGS)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(12):
        labels = torch.arange(32) % 2
        pixels = 20 + 100 * torch.rand(32, 1, 16, 16)
        pixels[labels == 1, :, 3:-3, 5:10] = 100 + 150 * torch.rand(16, 1, 1, 1)
        target = torch.tensor([classes.index(CLASSES[label]) for label in labels.tolist()])
        loss = nn.functional.cross_entropy(network((pixels / 255 - 0.5) / 0.25), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def write_network(path: Path, name: str, classes: tuple[str, ...] = CLASSES) -> Path:
    """A network file with weights that follow from a name."""
    save_network(
        path,
        network_of(name, classes),
        **{"name": "street_cnn", "kwargs": KWARGS, "classes": classes, "size": (16, 16)},
        **{"channels": 1, "mean": (0.5,), "std": (0.25,)},
    )
    return path


def predictions_of(run: Path, stage: str = "refined", split: str = "test") -> Predictions:
    """What a stage of a run predicted."""
    (path,) = run.glob(f"stages/{stage}-*/predictions-{split}.parquet")
    return Predictions.load(path)
