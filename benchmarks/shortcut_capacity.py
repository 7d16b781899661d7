"""What a shortcut costs networks of 5,000, 36,000 and 144,000 parameters.

Cats and dogs of CIFAR-10; a share of the training cats is darkened, nothing else. Tested on clean
images. Writes docs/results/shortcut_capacity.csv: one line a seed, network and share.

Run: python benchmarks/shortcut_capacity.py CIFAR10 (a folder with train.parquet and test.parquet)
"""

import argparse
import csv
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from tinyrefinery import random
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.images import ResidentImages
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.data.open import open_data
from tinyrefinery.execution.execute import run
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.runs.plan import Job

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "shortcut_capacity.csv"
WIDTHS = {"5k": 0.26, "36k": 0.71, "144k": 1.44}
SHARES = (0.0, 0.3, 0.6)
SEEDS, TRAIN, HELD, GAIN = 5, 4000, 500, 0.25
CAT, DOG = 3, 5
TEXT = """
title: what a shortcut costs
seed: {seed}
data:
  source: {{name: given, digest: "{digest}"}}
  train_crop: {{name: pad, size: 32, padding: 4}}
  eval_crop: {{name: center, size: 32}}
  workers: 0
stages:
{stages}
engine: {{device: cpu, threads: 1}}
chain: {{collapse: null}}
"""
STAGE = """  - id: net_{name}
    model: {{name: street_cnn, kwargs: {{width: {width}}}}}
    optimizer: {{name: adamw, lr: 3.0e-3, weight_decay: 5.0e-4}}
    schedule: {{name: cosine, warmup: 1}}
    epochs: 15
    evaluate_every: 15
    batch_size: 64
"""


def cats_and_dogs(root: Path) -> Dataset:
    """4,000 training images, 500 to validate and CIFAR-10's 2,000 test images of both classes."""
    paths = {"train": str(root / "train.parquet"), "test": str(root / "test.parquet")}
    data = open_data("parquet", path=paths, validation=0.0)
    pets = np.flatnonzero(np.isin(data.manifest.labels, (CAT, DOG)))
    data = data.select(pets)
    train = data.manifest.rows("train")
    train = train[random.permutation(0, "capacity", 0, len(train))[: TRAIN + HELD]]
    data = data.select(np.concatenate([train, data.manifest.rows("test")]))
    split = np.array(["train"] * TRAIN + ["validation"] * HELD, object)
    split = np.concatenate([split, np.full(len(data.manifest) - len(split), "test", object)])
    columns = {
        "id": data.manifest.column("id").tolist(),
        "path": data.manifest.column("path").tolist(),
        "label": (data.manifest.labels == DOG).astype(np.int64),
        "split": split.tolist(),
    }
    return replace(data, manifest=Manifest(pa.table(columns), ("cat", "dog")))


def with_shortcut(data: Dataset, share: float, seed: int) -> Dataset:
    """The data with a share of the training cats darkened, the same ones in every larger share."""
    assert isinstance(data.images, ResidentImages)
    train = data.manifest.rows("train")
    cats = train[data.manifest.labels[train] == 0]
    dark = cats[random.permutation(seed, "capacity dark", 0, len(cats))[: round(share * len(cats))]]
    pixels = data.images.array.clone()
    pixels[dark] = (pixels[dark].float() * GAIN).to(torch.uint8)
    ids = data.manifest.column("id").astype(object)
    ids[dark] += f" x {GAIN}"
    place = data.manifest.table.column_names.index("id")
    table = data.manifest.table.set_column(place, "id", pa.array(ids.tolist()))
    manifest = Manifest(table, data.classes)
    return replace(data, manifest=manifest, images=ResidentImages(pixels))


def measured(data: Dataset, seed: int) -> dict[str, tuple[int, float]]:
    """By network: parameters and test accuracy."""
    stages = "".join(STAGE.format(name=name, width=width) for name, width in WIDTHS.items())
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "recipe.yaml"
        file.write_text(TEXT.format(seed=seed, digest=data.manifest.digest, stages=stages))
        (chain,) = run([Job(load_recipe(file))], Path(place) / "run", data=data)
        found = {}
        for generation in chain.generations:
            name = generation.id.removeprefix("net_")
            (folder,) = (Path(place) / "run" / "stages").glob(f"{generation.id}-*")
            told = json.loads((folder / "evaluation.json").read_text())
            found[name] = told["cost"]["parameters"], told["test"]["top1"]
    return found


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder with train.parquet and test.parquet")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    told = parser.parse_args()
    torch.set_num_threads(1)
    data = cats_and_dogs(told.data)
    header = ["seed", "network", "parameters", "dark_share", "test_top1"]
    with told.out.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for seed in range(told.seeds):
            for share in SHARES:
                for name, values in measured(with_shortcut(data, share, seed), seed).items():
                    line = [seed, name, values[0], share, f"{values[1]:.5f}"]
                    print(*line, flush=True)
                    writer.writerow(line)
                file.flush()


if __name__ == "__main__":
    main()
