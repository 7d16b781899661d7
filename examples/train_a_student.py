"""Train a tiny network on labels that a larger network predicts for every crop.

    python examples/train_a_student.py

Every piece is made by hand: crops, refiner, label policy, loss, optimizer. Nothing is downloaded.
Run it again to resume. Name another --folder to start again.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import nn

import tinyrefinery as tr

parser = argparse.ArgumentParser(description="Train a refiner, then a student on its labels.")
parser.add_argument("--images", type=int, default=6000, help="Training images.")
parser.add_argument("--epochs", type=int, default=13)
parser.add_argument("--folder", type=Path, default=Path("runs/train_a_student"))
words = parser.parse_args()

# House numbers of two real handwritten digits, 100 classes, composed as the script starts.
data = tr.open_data("street_numbers", train=words.images, validation=1000, test=2000)
rows, classes = data.manifest.rows("train"), len(data.classes)
size = (24, 36)  # height, width
crops = tr.View(data, tr.Inception(size=size), mean=(0.5,), std=(0.25,))
whole = replace(crops, crop=tr.Center(size=size))
options = tr.TrainingOptions(epochs=words.epochs, batch_size=64)


def accuracy(network: nn.Module, split: str) -> float:
    """Share of whole images whose most probable class is the given one."""
    predictions = tr.predict_rows(network, whole, data.manifest.rows(split))
    return float((predictions.probabilities.argmax(axis=1) == predictions.labels).mean())


def train(name: str, width: float, policy, loss) -> nn.Module:
    """A network trained with one label policy. The order and the crops are always the same."""
    torch.manual_seed(0)
    network = tr.create_model("street_cnn", classes, size=size, channels=1, width=width)
    training = tr.Training(
        network=network,
        view=crops,
        rows=rows,
        policy=policy,
        loss=tr.build_loss(loss),
        optimizer=tr.build_optimizer(tr.AdamW(lr=4e-3), network),
        schedule=tr.build_schedule(tr.Cosine(), words.epochs),
        options=options,
        engine=tr.Engine(device="cpu"),
        fabric=Fabric(accelerator="cpu", devices=1),
        validate=lambda network: {"validation_top1": accuracy(network, "validation")},
        folder=words.folder / name,
    )
    trained, _ = tr.train_network(training)
    print(f"{name}: test accuracy {accuracy(trained, 'test'):.1%}")
    return trained


given = tr.GivenLabels(classes)
train("plain", 1, given, tr.CrossEntropy())
larger = train("refiner", 2, given, tr.CrossEntropy())

# The refiner labels crops in groups that share batch statistics, here one group per batch.
labels = tr.CropLabels(tr.Refiner([larger]), crops, rows, group=64)
train("refined", 1, tr.RefinedLabels(tr.Refining(), labels), tr.Kl())
