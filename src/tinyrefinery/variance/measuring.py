"""Feature-map variances of the networks of runs and of files, on the data of a recipe."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tinyrefinery import builders, models
from tinyrefinery.data.batches import View, evenly_spaced, load, shuffled, split_batches
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import DataError
from tinyrefinery.labels.batch_norm import has_batch_norm, recalibrate
from tinyrefinery.models.network_file import NetworkInfo, load_network
from tinyrefinery.networks.view import measured_recipe, measured_splits, measuring_view
from tinyrefinery.recipe.load import part_hash
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.runs.folder import TrainedStage, open_run
from tinyrefinery.runs.places import RECIPE, run_around
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
class Measured:
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
class Weighed:
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
) -> list[Measured]:
    """The variances of all finished networks of runs, and of files, layer by layer.

    Untrained networks have their batch-normalization statistics measured on the very images, since
    without any their feature maps would only tell how deep the network is.

    Args:
        networks: run folders, and files that a run wrote.
        overrides: changes to the data, e.g. `data.source.root=other/`. Data without splits of its
            own counts as `test`, all of it.
        question: what to measure.
        recipe: says on what data; else a run's own, also for a file inside a run folder.

    Raises:
        CheckpointError: when a file is no network, or the network doesn't fit the data.
        DataError: when there is no such layer or split, or no recipe for a file.
    """
    question = question or Question()
    found: list[Measured] = []
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
            Measured(each.title, each.seed, layer, values, each.rows, each.view.dataset)
            for layer, values in layers.items()
        ]
    return found


def weigh(
    networks: Sequence[Path],
    overrides: Sequence[str] = (),
    question: Question | None = None,
    recipe: Path | None = None,
) -> list[Weighed]:
    """The weights that Bias Loss, by each reading of it, would give the same images.

    Raises:
        DataError: as `measure`, and when there are fewer images than a batch.
    """
    return [
        Weighed(each.title, each.seed, reading, values)
        for each in _opened(networks, overrides, question or Question(), recipe)
        for reading, values in bias_weights(
            each.network, each.view, each.rows, workers=each.workers
        ).items()
    ]


def _opened(
    networks: Sequence[Path], overrides: Sequence[str], question: Question, recipe: Path | None
) -> Iterator[_Opened]:
    """The networks, one after the other, those of one recipe on the same data."""
    data: dict[str, Dataset] = {}
    for path in networks:
        said = measured_recipe(recipe or _recipe_of(path), overrides)
        key = part_hash(said.data)
        if key not in data:
            data[key] = builders.dataset(said.data)
        for name, file in _files(path):
            yield from _open(name, file, data[key], said, question)


def _recipe_of(path: Path) -> Path:
    """The recipe of a run folder, or of the one that a file lies in."""
    if (run := run_around(path)) is not None:
        return run / RECIPE
    if not path.exists():
        raise DataError(f"{path}: there is no such run folder or network file")
    what = "no run folder (it has no recipe.yaml)" if path.is_dir() else "not in a run folder"
    raise DataError(f"{path}: {what}; say with --recipe RECIPE on what data to measure")


def _files(path: Path) -> list[tuple[str, Path]]:
    """(name, file) of each network."""
    if not path.is_dir():
        return [(path.parent.name if path.name == "model.safetensors" else path.name, path)]
    stages = open_run(path).stages
    if not stages:
        raise DataError(f"{path}: no stage of this run is finished")
    several = {row for stage in stages for row in stage.rows}
    return [(_name(stage, several), stage.file) for stage in stages]


def _name(stage: TrainedStage, rows: set[str]) -> str:
    return f"{stage.row} {stage.stage}" if rows and stage.row else stage.stage


def _open(
    name: str, file: Path, data: Dataset, recipe: Recipe, question: Question
) -> Iterator[_Opened]:
    """The network of a file, and the same with new weights if asked for."""
    network, info = load_network(file)
    device = builders.fabric(recipe.engine).device
    view = measuring_view(info, data, recipe, device, name)
    rows = _rows(view.dataset, question)
    workers, seed = builders.workers(recipe, data), info.extra.get("seed")
    both = [(name, network)]
    if question.untrained:
        both.append((f"{name} (untrained)", _untrained(info, view, rows)))
    for title, each in both:
        yield _Opened(title, seed, each.to(device), view, rows, workers)


def _rows(data: Dataset, question: Question) -> np.ndarray:
    splits = measured_splits(data.manifest)
    if question.split not in splits:
        raise DataError(
            f"data '{data.name}': no images in the split '{question.split}'; it has "
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
