"""What trainings on known wrong labels tell of each label: the raw material of `suspects.py`.

For each set and seed, networks are trained as a recipe would: `plain` on the given labels and
`refined` on those that `plain` gives to its crops. Everything they leave behind about a label is
kept in one Parquet file, so that rankings can be compared without training again. Out-of-fold
probabilities, which cleanlab asks for, come from further trainings of `plain`.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from tinyrefinery import random
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.data.open import open_data
from tinyrefinery.evaluation.dynamics_table import load_dynamics
from tinyrefinery.evaluation.predictions import Predictions
from tinyrefinery.execution.execute import run
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.runs.plan import Job

CIFAR_ROWS, HELD_OUT, FOLDS = 20_000, 1_000, 4
EPOCHS = {"cifar": 12, "imagenette": 20, "street": 25}
STAGE = """
    model: {{name: {model}}}
    optimizer: {{name: {optimizer}}}
    schedule: {{name: cosine, warmup: 1}}
    epochs: {epochs}
    evaluate_every: {epochs}
    batch_size: {batch}
"""
TEXT = """
title: labels known to be wrong
seed: {seed}
data:
  source: {{name: given, digest: "{digest}", channels: {channels}}}
  train_crop: {{{crop}}}
  eval_crop: {{name: center, size: {size}}}
  flip: {flip}
  workers: 0
stages:
  - id: plain{stage}{refined}
engine: {{device: cpu, threads: 1, precision: bf16}}
chain: {{collapse: null}}
"""
REFINED = """
  - id: refined
    labels: {{name: refined, by: plain}}{stage}"""
CIFAR = {"crop": "name: pad, size: 32, padding: 4", "size": 32, "flip": 0.5, "channels": 3}
IMAGENETTE = {
    **{"crop": "name: inception, size: 32, area: [0.5, 1.0]", "size": 32, "flip": 0.5},
    "channels": 3,
}
STREET = {
    **{"crop": "name: inception, size: 24, area: [0.3, 1.0]", "size": 24, "flip": 0.0},
    "channels": 1,
}
RESNET = {"model": "resnet8", "optimizer": "sgd, lr: 0.1, momentum: 0.9, weight_decay: 5.0e-4"}
CNN = {"model": "street_cnn, kwargs: {widths: [8, 16, 32]}", "optimizer": "adamw, lr: 4.0e-3"}


def relabeled(data: Dataset, labels: np.ndarray, split: np.ndarray) -> Dataset:
    """The data set with other given labels and splits."""
    table = data.manifest.table
    for name, values in (("label", pa.array(labels)), ("split", pa.array(split.tolist()))):
        table = table.set_column(table.column_names.index(name), name, values)
    return replace(data, manifest=Manifest(table, data.classes))


def cifar(root: Path, column: str) -> tuple[Dataset, np.ndarray]:
    """CIFAR-10N: 20,000 training images with a human label, 1,000 more to validate.

    Returns:
        The data, and which given labels differ from CIFAR-10's own.
    """
    path = str(root / "cifar10" / "train.parquet")
    data = open_data("parquet", path=path, validation=0.0)
    human = pq.read_table(root / "cifar10_human" / "cifar10n_train.parquet")
    order = data.manifest.column("orig_index")
    given = human.column(column).to_numpy()[order]
    rows = random.permutation(0, "suspects rows", 0, len(order))[: CIFAR_ROWS + HELD_OUT]
    data, given = data.select(rows), given[rows]
    held = np.arange(len(rows)) >= CIFAR_ROWS
    true = data.manifest.labels
    labels = np.where(held, true, given)
    return relabeled(data, labels, np.where(held, "validation", "train")), labels != true


def cifar_test(root: Path) -> tuple[Dataset, np.ndarray]:
    """CIFAR-10's own test labels, learned beside 10,000 training images.

    Returns:
        The data, and which labels fewer than three of five reviewers confirmed.
    """
    base = root / "cifar10"
    paths = {"train": str(base / "train.parquet"), "test": str(base / "test.parquet")}
    data = open_data("parquet", path=paths, validation=0.0)
    review = pq.read_table(root / "cifar10_human" / "cifar10h_cleanlab_test.parquet")
    bad = review.column("mturk_reviewed").to_numpy() & (review.column("mturk_given").to_numpy() < 3)
    train = random.permutation(0, "suspects rows", 0, 50_000)[: CIFAR_ROWS // 2 + HELD_OUT]
    test = data.manifest.rows("test")
    rows = np.concatenate([test, data.manifest.rows("train")[train]])
    data = data.select(rows)
    wrong = np.zeros(len(rows), bool)
    wrong[: len(test)] = bad[data.manifest.column("orig_index")[: len(test)]]
    held = np.arange(len(rows)) >= len(rows) - HELD_OUT
    return relabeled(data, data.manifest.labels, np.where(held, "validation", "train")), wrong


def imagenette(root: Path, percent: int) -> tuple[Dataset, np.ndarray]:
    """Imagenette with fastai's synthetic noise: any class in place of the true one."""
    base = root / "imagenette128"
    paths = {"train": str(base / "train.parquet"), "validation": str(base / "val.parquet")}
    data = open_data("parquet", path=paths)
    held = data.manifest.column("split") != "train"
    true = data.manifest.labels
    noisy = data.manifest.column(f"noisy_label_{percent}") if percent else true
    labels = np.where(held, true, np.nan_to_num(noisy, nan=0)).astype(np.int64)
    return relabeled(data, labels, np.where(held, "validation", "train")), labels != true


def street(seed: int) -> tuple[Dataset, np.ndarray]:
    """Street numbers of one digit, a tenth of the labels wrong."""
    sizes: dict[str, Any] = {"train": 2000, "validation": 200, "test": 0, "width": 32}
    data = open_data("street_numbers", wrong_labels=0.1, seed=seed, digits=1, **sizes)
    return data, data.manifest.labels != data.manifest.column("true_label")


SETS: dict[str, tuple[str, Callable[[Path, int], tuple[Dataset, np.ndarray]]]] = {
    "street": ("street", lambda _, seed: street(seed)),
    "imagenette_5": ("imagenette", lambda root, _: imagenette(root, 5)),
    "imagenette_25": ("imagenette", lambda root, _: imagenette(root, 25)),
    "human_label1": ("cifar", lambda root, _: cifar(root, "human_label1")),
    "worst_label": ("cifar", lambda root, _: cifar(root, "worst_label")),
    "aggregate_label": ("cifar", lambda root, _: cifar(root, "aggregate_label")),
    "cifar_test": ("cifar", lambda root, _: cifar_test(root)),
}
"""Name -> kind of training, and what opens it. The first three are for choosing a ranking."""


def trained(folder: Path, data: Dataset, kind: str, seed: int, *, refined: bool) -> Path:
    """Train on a data set; the folder of its stages."""
    net = CNN if kind == "street" else RESNET
    view = {"cifar": CIFAR, "imagenette": IMAGENETTE, "street": STREET}[kind]
    stage = STAGE.format(**net, epochs=EPOCHS[kind], batch=64 if kind == "street" else 128)
    more = REFINED.format(stage=stage) if refined else ""
    digest = data.manifest.digest
    file = folder / "recipe.yaml"
    file.write_text(TEXT.format(seed=seed, digest=digest, stage=stage, refined=more, **view))
    run([Job(load_recipe(file))], folder / "run", data=data)
    return folder / "run" / "stages"


def signals(data: Dataset, wrong: np.ndarray, kind: str, seed: int, folds: int) -> pa.Table:
    """A line a training label: whether it is wrong, and what the trainings tell of it."""
    rows = data.manifest.rows("train")
    columns: dict[str, pa.Array] = {"wrong": pa.array(wrong[rows])}
    top1 = {}
    with tempfile.TemporaryDirectory() as place:
        stages = trained(Path(place), data, kind, seed, refined=True)
        for name in ("plain", "refined"):
            (stage,) = stages.glob(f"{name}-*")
            evaluation = json.loads((stage / "evaluation.json").read_text())
            top1[name] = evaluation["validation"]["top1"]
            dynamics = load_dynamics(stage / "dynamics.parquet")
            assert (dynamics["row"].to_numpy() == rows).all()
            for column in dynamics.column_names[3:]:
                columns[f"{name}.{column}"] = dynamics[column].combine_chunks()
            found = Predictions.load(stage / "predictions-train.parquet")
            columns[f"{name}.probabilities"] = listed(found.probabilities)
        columns["label"] = pa.array(data.manifest.labels[rows])
    if folds:
        columns["oof.probabilities"] = listed(out_of_fold(data, rows, kind, seed, folds))
    return pa.table(columns, metadata={"top1": json.dumps(top1)})


def out_of_fold(data: Dataset, rows: np.ndarray, kind: str, seed: int, folds: int) -> np.ndarray:
    """Probabilities (N, K) of each training image by a network that did not train on it."""
    fold = random.permutation(seed, "folds", 0, len(rows)) % folds
    found = np.zeros((len(rows), len(data.classes)), np.float32)
    for number in range(folds):
        split = np.where(fold == number, "validation", "train")
        part = data.select(rows)
        part = relabeled(part, part.manifest.labels, split)
        with tempfile.TemporaryDirectory() as place:
            stages = trained(Path(place), part, kind, seed, refined=False)
            (file,) = stages.glob("plain-*/predictions-validation.parquet")
            told = Predictions.load(file)
        found[told.rows] = told.probabilities
    return found


def listed(probabilities: np.ndarray) -> pa.Array:
    """(N, K) as lists of K."""
    flat = pa.array(np.ascontiguousarray(probabilities, np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, probabilities.shape[1])


def main() -> None:
    """Train what is asked for and isn't there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder with cifar10/, cifar10_human/ and so on")
    parser.add_argument("into", type=Path, help="folder for the signals")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folds", type=int, default=FOLDS, help="0: nothing out of fold")
    told = parser.parse_args()
    torch.set_num_threads(1)
    told.into.mkdir(parents=True, exist_ok=True)
    for seed in told.seeds:
        for name in told.sets:
            file = told.into / f"{name}-{seed}.parquet"
            if file.exists():
                continue
            kind, opened = SETS[name]
            table = signals(*opened(told.data, seed), kind, seed, told.folds)
            pq.write_table(table, file)
            print(f"{name} seed {seed}: {table.schema.metadata[b'top1'].decode()}", flush=True)


if __name__ == "__main__":
    main()
