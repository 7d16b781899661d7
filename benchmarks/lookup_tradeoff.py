"""What dictionaries and sparsity cost: accuracy, products and packed bytes of ResNet8 with lookups.

    python benchmarks/lookup_tradeoff.py --out docs/results/lookup_tradeoff.csv
    python benchmarks/lookup_tradeoff.py --out OUT.csv --seeds 1 --train 600 --epochs 2   # a trial

Street numbers of one digit. One dense network per seed, then one for each size of the dictionary
and each weight of the penalty (`sparsity`). Adds a line for each when it is trained, and skips
those that the file has. `tools/results.py` and `tools/figures.py` make the table and the figure.
"""

import argparse
import csv
import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from tinyrefinery.deploy.packing.packed_lowering import pack_network
from tinyrefinery.execution.execute import run
from tinyrefinery.layers.lookup import LookupConv2d
from tinyrefinery.networks.opening import open_network
from tinyrefinery.packed.packed_format import write_packed
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.runs.plan import Job

WORDS, SPARSITIES, SEEDS = (4, 8, 16, 32), (0.3, 1.0, 3.0, 6.0), 3
COLUMNS = ("seed", "words", "sparsity", "train", "epochs", "entries", "macs", "bytes", "test_top1")
"""Words 0: dense. Entries: coefficients per filter and place that are not 0, on average over all
lookup layers. Bytes: of the packed file; of a dense network, its parameters in 32 bits."""
RECIPE = """
title: what dictionaries and sparsity cost
seed: {seed}
data:
  source: {{name: street_numbers, digits: 1, train: {train}, validation: 500, test: 2000}}
  train_crop: {{name: inception, size: [24, 36], area: [0.5, 1.0]}}
  eval_crop: {{name: center, size: [24, 36]}}
  flip: 0.0
  mean: [0.5]
  std: [0.25]
  workers: 0
stages:
  - id: trained
    model: {model}
    optimizer: {{name: sgd, lr: 0.05, momentum: 0.9, nesterov: true}}
    schedule: {{name: cosine, warmup: 1}}
    epochs: {epochs}
    batch_size: 64
    evaluate_every: {epochs}
engine: {{device: cpu, threads: 1}}
chain: {{collapse: null}}
"""


@dataclass(frozen=True)
class Trial:
    """One network to train."""

    seed: int
    words: int
    sparsity: float
    train: int
    epochs: int

    @property
    def key(self) -> tuple[str, ...]:
        """Its first columns."""
        return tuple(str(getattr(self, name)) for name in COLUMNS[:5])

    @property
    def model(self) -> str:
        """For the recipe."""
        if not self.words:
            return "{name: resnet8}"
        options = f"{{words: {self.words}, sparsity: {self.sparsity}}}"
        return f"{{name: resnet8_lcnn, kwargs: {options}}}"


def measured(trial: Trial) -> tuple[str, ...]:
    """The other columns."""
    facts = {name: getattr(trial, name) for name in ("seed", "train", "epochs", "model")}
    with TemporaryDirectory() as place:
        file, folder = Path(place) / "recipe.yaml", Path(place) / "run"
        file.write_text(RECIPE.format(**facts))
        run([Job(load_recipe(file))], folder)
        (stage,) = (folder / "stages").iterdir()
        evaluation = json.loads((stage / "evaluation.json").read_text())
        network = open_network(folder)
        module, info = network.load(), network.info
    layers = [layer for layer in module.modules() if isinstance(layer, LookupConv2d)]
    entries = sum(int(layer.is_kept.sum()) for layer in layers)
    places = sum(len(layer.coefficients) * layer.coefficients[0, 0].numel() for layer in layers)
    if layers:
        size = len(write_packed(pack_network(module, info.size, info.channels)))
    else:
        size = 4 * sum(parameter.numel() for parameter in module.parameters())
    share = f"{entries / places:.3f}" if layers else ""
    return share, str(evaluation["cost"]["macs"]), str(size), f"{evaluation['test']['top1']:.5f}"


def trials(arguments: argparse.Namespace) -> list[Trial]:
    """Dense first, seed by seed."""
    kinds = [(0, 0.0), *((w, s) for w in arguments.words for s in arguments.sparsities)]
    return [
        Trial(seed, words, sparsity, arguments.train, arguments.epochs)
        for seed in range(arguments.seeds)
        for words, sparsity in kinds
    ]


def main() -> None:
    """Train what the file lacks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--words", type=int, nargs="+", default=WORDS)
    parser.add_argument("--sparsities", type=float, nargs="+", default=SPARSITIES)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--train", type=int, default=3000, help="training scenes")
    parser.add_argument("--epochs", type=int, default=8)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    done: set[tuple[str, ...]] = set()
    if arguments.out.exists():
        with arguments.out.open() as file:
            done = {tuple(row[name] for name in COLUMNS[:5]) for row in csv.DictReader(file)}
    else:
        arguments.out.write_text(",".join(COLUMNS) + "\n")
    for trial in trials(arguments):
        if trial.key not in done:
            line = ",".join((*trial.key, *measured(trial)))
            with arguments.out.open("a") as file:
                file.write(line + "\n")
            print(line, flush=True)


if __name__ == "__main__":
    main()
