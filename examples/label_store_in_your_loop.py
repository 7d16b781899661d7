"""Keep a refiner's labels on disk, and train several networks on them in your own PyTorch loop.

    python examples/label_store_in_your_loop.py

The first student fills the store while it trains. The later ones read it. Nothing is downloaded.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

import tinyrefinery as tr

parser = argparse.ArgumentParser(description="Train students on stored labels.")
parser.add_argument("--images", type=int, default=6000, help="Training images.")
parser.add_argument("--epochs", type=int, default=13)
parser.add_argument("--labels", type=Path, default=Path("runs/labels"), help="Folder of stores.")
options = parser.parse_args()

data = tr.open_data("street_numbers", train=options.images, validation=0, test=2000)
rows, classes = data.manifest.rows("train"), len(data.classes)
size, batch_size = (24, 36), 64  # height and width in pixels, crops per step
crops = tr.View(data, tr.Inception(size=size), mean=(0.5,), std=(0.25,))
whole = replace(crops, crop=tr.Center(size=size))


def train(name: str, width: float, label, loss) -> nn.Module:
    """Your loop. All that it asks of Tiny Refinery is a batch of crops and the batch's targets."""
    torch.manual_seed(0)
    network = tr.create_model("street_cnn", classes, size=size, channels=1, width=width)
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3)
    for epoch in range(options.epochs):
        order = tr.shuffled(rows, crops.seed, epoch)
        batches = tr.split_batches(order, batch_size, drop_last=True)
        for batch in tr.load_batches(crops, batches, epoch):
            targets = label(batch)  # (B, K), rows sum to one
            value = loss(network(batch.images), targets)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    predictions = tr.predict_rows(network, whole, data.manifest.rows("test"))
    right = predictions.probabilities.argmax(axis=1) == predictions.labels
    print(f"{name}: test accuracy {right.mean():.1%}")
    return network


larger = train("refiner", 2, tr.GivenLabels(classes), nn.functional.cross_entropy)

# A store belongs to one refiner, these crops and this way to write labels. It refuses all others.
crop_labels = tr.CropLabels(tr.Refiner([larger]), crops, rows, group=batch_size)
stored = tr.StoredLabels(crop_labels, options.labels, tr.label_form("float16", classes))
for width in (0.5, 1):
    train(f"student of width {width:g}", width, stored, tr.build_loss(tr.Kl()))

store = tr.LabelStore(stored.store.folder)
size_of_all = sum(path.stat().st_size for path in store.streams().values()) / 1e6
print(f"{store.folder}: labels of {len(store.streams())} epochs, {size_of_all:.1f} MB")
for problem in store.verify():
    raise SystemExit(problem)
