"""Feature-map variances of the networks of runs and of files, on the data of a recipe."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tinyrefinery import models
from tinyrefinery.data.batches import View, evenly_spaced, load, shuffled, split_batches
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import DataError
from tinyrefinery.labels.batch_norm import has_batch_norm, recalibrate
from tinyrefinery.models.network_file import NetworkInfo
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.network_view import opened
from tinyrefinery.networks.opening import open_networks
from tinyrefinery.networks.recipe_data import Measured, measured_on
from tinyrefinery.variance.bias_weights import bias_weights
from tinyrefinery.variance.feature_variances import LAST, feature_variances

BATCH = 256


@dataclass(frozen=True)
class Question:
    """What is to be measured of each network."""

    split: str = "test"
    layers: tuple[str, ...] = (LAST,)
    """`features`, or paths of modules."""
    limit: int | None = None
    """Images at most, evenly spaced; None: all."""
    untrained: bool = False
    """Also measure each architecture with new random weights."""


@dataclass(frozen=True, eq=False)
class LayerVariances:
    """The variances of one layer of one network."""

    network: str
    """Run, row and stage, or the file; ends in `(untrained)` for new weights."""
    seed: int | None
    layer: str
    values: np.ndarray
    """(N,) float64, in the order of `rows`."""
    rows: np.ndarray
    """(N,) manifest rows."""
    data: Dataset


@dataclass(frozen=True, eq=False)
class ImageWeights:
    """The weights that one reading of Bias Loss gives the images of one network."""

    network: str
    seed: int | None
    reading: str
    """A key of `evaluation.bias_weights.READINGS`."""
    values: np.ndarray
    """(N,) float64."""


@dataclass(frozen=True, eq=False)
class _Opened:
    """A network, and the images that it looks at."""

    title: str
    seed: int | None
    network: nn.Module
    view: View
    rows: np.ndarray
    workers: int


def measure(
    networks: Sequence[Path],
    overrides: Sequence[str] = (),
    question: Question | None = None,
    recipe: Path | None = None,
) -> list[LayerVariances]:
    """The variances of all finished networks of runs, and of files, layer by layer.

    Untrained networks have their batch-normalization statistics measured on the same images.
    Without statistics, their feature maps would only show how deep the network is.

    Args:
        networks: run folders, stage folders and network files.
        overrides: changes to the data, e.g. `data.source.root=other/`; see `networks.held_out`
            for the splits that its images count in.
        question: what to measure.
        recipe: names the data; None: the recipe of each network's run.

    Raises:
        CheckpointError: when a file is not a network, or the network doesn't fit the data.
        DataError: when there is no such layer or split, or no recipe for a file.
    """
    question = question or Question()
    found: list[LayerVariances] = []
    for each in _opened(networks, overrides, question, recipe):
        layers = feature_variances(
            each.network,
            each.view,
            each.rows,
            question.layers,
            batch_size=BATCH,
            workers=each.workers,
        )
        found += [
            LayerVariances(each.title, each.seed, layer, values, each.rows, each.view.dataset)
            for layer, values in layers.items()
        ]
    return found


def weigh(
    networks: Sequence[Path],
    overrides: Sequence[str] = (),
    question: Question | None = None,
    recipe: Path | None = None,
) -> list[ImageWeights]:
    """The weights that Bias Loss, by each reading of it, would give the same images.

    Raises:
        DataError: as `measure`, and when there are fewer images than a batch.
    """
    return [
        ImageWeights(each.title, each.seed, reading, values)
        for each in _opened(networks, overrides, question or Question(), recipe)
        for reading, values in bias_weights(
            each.network, each.view, each.rows, workers=each.workers
        ).items()
    ]


def _opened(
    words: Sequence[Path], overrides: Sequence[str], question: Question, recipe: Path | None
) -> Iterator[_Opened]:
    """The networks, one after the other, those of one recipe on the same data."""
    networks = open_networks(words, seeds="all")
    for measured in measured_on(networks, overrides, recipe):
        network, info = measured.network, measured.network.info
        net, view, workers = opened(network, measured.dataset, measured.recipe)
        rows = _rows(measured, question)
        title = _title(network, networks)
        seed = info.extra.get("seed")
        yield _Opened(title, seed, net, view, rows, workers)
        if question.untrained:
            new = _untrained(info, view, rows)
            yield _Opened(f"{title} (untrained)", seed, new, view, rows, workers)


def _title(network: Network, networks: Sequence[Network]) -> str:
    """Row and stage; the seed has a column of its own."""
    stage = network.stage
    if stage is None:
        return network.name
    several = any(other.stage is not None and other.stage.rows for other in networks)
    return f"{stage.row} {stage.stage}" if several and stage.row else stage.stage


def _rows(measured: Measured, question: Question) -> np.ndarray:
    splits = measured.splits
    if question.split not in splits:
        raise DataError(
            f"data '{measured.dataset.name}': no images in the split '{question.split}'. It has "
            f"{', '.join(splits) or 'none'}"
        )
    rows = splits[question.split]
    return rows if question.limit is None else evenly_spaced(rows, question.limit)


def _untrained(info: NetworkInfo, view: View, rows: np.ndarray) -> nn.Module:
    """The architecture with new weights, drawn from the seed that the file names, or 0."""
    options = {key: value for key, value in info.kwargs.items() if key != "pretrained"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(info.extra.get("seed") or 0))
        network = models.create(
            info.name, len(info.classes), size=info.size, channels=info.channels, **options
        )
    network = network.to(view.device).eval()
    if has_batch_norm(network):
        # Shuffled, as a folder's images are sorted by class; one image alone has no statistics.
        cuts = split_batches(shuffled(rows, 0, 0), BATCH, drop_last=True)
        if len(rows) < 2:
            raise DataError("variances of untrained networks need at least two images")
        recalibrate(network, (batch.images for batch in load(view, cuts, 0)))
    return network
