"""A network that predicts class probabilities of images: ours, of timm, ONNX files."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from tinyrefinery.data.batches import View, load
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import DataError
from tinyrefinery.networks.facts import Facts
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.opening import open_network
from tinyrefinery.options.crops import IMAGENET_MEAN, IMAGENET_STD, Center
from tinyrefinery.prediction.outputs import distinct, pooled, probabilities_of

_BATCH = 64


@dataclass(frozen=True)
class NetworkPredictor:
    """A function of normalized images (B, C, h, w) float32 that gives logits (B, outputs)."""

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

    @property
    def crop(self) -> Center:
        """How images are cut."""
        return Center(size=self.size, resize=self.resize)

    def __call__(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
        """Probabilities (n, K) float64.

        Raises:
            DataError: when the network gives another number of outputs, or NaN.
        """
        view = View(dataset, self.crop, 0, self.mean, self.std)
        found = [np.empty((0, len(self.classes)))]
        cut = [rows[place : place + self.batch] for place in range(0, len(rows), self.batch)]
        for batch in load(view, cut, 0, workers=1):
            outputs = np.asarray(self.forward(batch.images.numpy()), np.float64)
            if outputs.ndim != 2 or outputs.shape[1] != len(self.outputs):
                raise DataError(
                    f"{self.name}: gives {outputs.shape[1:]} outputs per image, but there are "
                    f"{len(self.outputs)} names; list one a line, in its order, with --classes"
                )
            found.append(pooled(probabilities_of(outputs, self.name), self.outputs))
        return np.concatenate(found)


def network_predictor(network: Network) -> NetworkPredictor:
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
    return NetworkPredictor(
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


def open_predictor(
    model: str | Path,
    *,
    classes: tuple[str, ...] | None = None,
    size: int | None = None,
    weights: Path | None = None,
    stage: str | None = None,
    seed: int | None = None,
    row: str | None = None,
) -> NetworkPredictor:
    """Open whatever `open_network` opens, ready to predict.

    Args:
        model: a run, a stage, a network file, an ONNX file or `timm:NAME`.
        classes: names of the outputs, for a network that doesn't state them.
        size: height and width of its input in pixels, for a network that doesn't state it.
        weights: file of weights for a timm model.
        stage: of a run; None: the last.
        seed: of a run; None: the lowest.
        row: of a run of a table.

    Raises:
        RefineryError: when it can't be opened, or states its classes or size itself.
    """
    side = None if size is None else (size, size)
    network = open_network(
        model,
        stage=stage,
        seed=seed,
        row=row,
        stated=Facts(classes=classes, size=side, weights=None if weights is None else str(weights)),
        otherwise=Facts(mean=IMAGENET_MEAN, std=IMAGENET_STD),
    )
    given = {"classes": classes, "size": size, "weights": weights}
    for name, value in given.items():
        if network.kind == "file" and value is not None:
            raise DataError(f"{model}: states its {name}, so leave out --{name}")
    return network_predictor(network)
