"""Whatever can label images: networks of ours, of timm, ONNX files. Images in, distributions out.

An HTTP endpoint is in `endpoint.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from tinyrefinery.data.batches import View, load
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import DataError
from tinyrefinery.networks.network import Network
from tinyrefinery.options.crops import Center
from tinyrefinery.reading.json_text import read_text

NONE = "-"
"""In a list of classes: an output that is none of ours."""
_BATCH = 64
_SUM = 1e-3  # float32 over many classes


class Labeler(Protocol):
    """Gives each image a distribution over its classes."""

    @property
    def name(self) -> str:
        """For people, and for `label_source`."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """K names."""
        ...

    @property
    def channels(self) -> int:
        """Of the images it takes: 1 or 3."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what it sees, in pixels."""
        ...

    def __call__(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
        """Probabilities (n, K) float64; a row's sum is at most one."""
        ...


@dataclass(frozen=True)
class NetworkLabeler:
    """A function of normalized images (B, C, h, w) float32 that gives (B, outputs)."""

    name: str
    outputs: tuple[str, ...]
    """Name of each output; equal names are added up, `-` is left out."""
    channels: int
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    forward: Callable[[np.ndarray], np.ndarray] = field(repr=False)
    resize: int | None = None
    batch: int = _BATCH
    network: Network | None = None
    """Where it comes from, if that is a run or a file of ours."""

    @property
    def classes(self) -> tuple[str, ...]:
        """K names."""
        return distinct(self.outputs)

    def __call__(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
        """Probabilities (n, K) float64.

        Raises:
            DataError: when the network gives another number of outputs, or NaN.
        """
        crop = Center(size=self.size, resize=self.resize)
        view = View(dataset, crop, 0, self.mean, self.std)
        found = [np.empty((0, len(self.classes)))]
        cut = [rows[place : place + self.batch] for place in range(0, len(rows), self.batch)]
        for batch in load(view, cut, 0, workers=1):
            outputs = np.asarray(self.forward(batch.images.numpy()), np.float64)
            if outputs.ndim != 2 or outputs.shape[1] != len(self.outputs):
                raise DataError(
                    f"{self.name}: gives {outputs.shape[1:]} outputs per image, but there are "
                    f"{len(self.outputs)} names; list one a line, in its order, with --classes"
                )
            found.append(pooled(distribution(outputs, self.name), self.outputs))
        return np.concatenate(found)


def distinct(outputs: Sequence[str]) -> tuple[str, ...]:
    """The classes that outputs stand for, each once, in order."""
    return tuple(dict.fromkeys(name for name in outputs if name != NONE))


def pooled(probabilities: np.ndarray, outputs: Sequence[str]) -> np.ndarray:
    """Probabilities (n, K) of the classes: equal names added up, `-` left out."""
    classes = distinct(outputs)
    found = np.zeros((len(probabilities), len(classes)))
    for number, name in enumerate(outputs):
        if name != NONE:
            found[:, classes.index(name)] += probabilities[:, number]
    return found


def distribution(outputs: np.ndarray, name: str) -> np.ndarray:
    """Outputs (n, outputs) as they are where all are distributions, else their softmax.

    Raises:
        DataError: when one isn't finite.
    """
    if not np.isfinite(outputs).all():
        raise DataError(f"{name}: gives numbers that aren't finite; does it get what it expects?")
    if (outputs >= 0).all() and (np.abs(outputs.sum(axis=1) - 1) < _SUM).all():
        return outputs
    shifted = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def network_labeler(network: Network) -> NetworkLabeler:
    """A network as labeler: of a run, a file of ours, an ONNX file or a timm model.

    Raises:
        CheckpointError: when it can't be read.
        DataError: when the names of its outputs aren't known.
    """
    if not network.classes:
        raise DataError(
            f"{network.name}: doesn't state the names of its outputs. List one per line in a file: "
            "--classes FILE"
        )
    net, info, recipe = network.load(), network.info, network.recipe
    same_size = recipe is not None and info.size == recipe.data.train_crop.size
    return NetworkLabeler(
        name=network.name,
        outputs=info.classes,
        channels=info.channels,
        size=info.size,
        mean=tuple(info.mean),
        std=tuple(info.std),
        forward=_forward(net),
        resize=recipe.data.eval_crop.resize if recipe and same_size else None,
        batch=getattr(net, "batch", None) or _BATCH,
        network=network,
    )


def _forward(net: torch.nn.Module) -> Callable[[np.ndarray], np.ndarray]:
    net.eval()

    def logits(images: np.ndarray) -> np.ndarray:
        """Logits of a batch."""
        with torch.inference_mode():
            return net(torch.from_numpy(images)).float().numpy()

    return logits


def read_classes(path: Path) -> tuple[str, ...]:
    """Names of outputs, one a line; equal names are added up, `-` is none of ours.

    Raises:
        DataError: when it can't be read, or has fewer than two classes.
    """
    lines = read_text(path).splitlines()
    outputs = tuple(line.strip() for line in lines)
    while outputs and not outputs[-1]:
        outputs = outputs[:-1]
    if "" in outputs:
        raise DataError(f"{path}, line {outputs.index('') + 1}: is empty; write - for none of ours")
    if len(distinct(outputs)) < 2:
        raise DataError(f"{path}: names {len(distinct(outputs))} classes; it takes two")
    return outputs


def with_manifest_of(dataset: Dataset, classes: tuple[str, ...]) -> Dataset:
    """A dataset under a labeler's classes.

    Raises:
        DataError: when it has a class that the labeler doesn't know.
    """
    return replace(dataset, manifest=dataset.manifest.with_classes(classes), truth=None)
