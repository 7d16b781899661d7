"""The quality of every kind of label that networks can give, where the truth is known.

A line a network, batch-norm mode, group size, level, and soft or hard: how far such labels are from
the true distribution of each crop, or from what people said of each image.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tinyrefinery import builders
from tinyrefinery.builders import FrozenNetwork
from tinyrefinery.data.batches import View, evenly_spaced
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import DataError
from tinyrefinery.evaluation.label_quality import label_quality
from tinyrefinery.networks.frozen import frozen_network
from tinyrefinery.networks.network import Network
from tinyrefinery.options.labels import BatchNorm, Level, Refining
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.refiners.assessment import (
    HumanFile,
    architecture,
    assessed_data,
    unseen_generation,
)
from tinyrefinery.refiners.crop_labelling import hardened, labels_of_level

LEVELS: tuple[Level, ...] = ("crop", "image", "category")
SMOOTHING = (0.05, 0.1, 0.2)  # our choice; 0.1 is Szegedy et al. 2016, section 7
FREE_GROUP = 256  # crops labelled at once where they don't share statistics

say = logging.getLogger("tinyrefinery").info
Line = dict[str, Any]


@dataclass(frozen=True)
class Grid:
    """Which labels are looked at, and on how many images."""

    images: int = 10_000
    bn_groups: tuple[int, ...] = (16, 64, 256)
    human: HumanFile | None = None
    split: str = "test"
    """Whose images people labelled."""


@dataclass(frozen=True)
class _Truth:
    """What labels are compared with."""

    basis: str
    split: str
    rows: np.ndarray
    distributions: np.ndarray


def label_lines(targets: Sequence[Network], recipe: Recipe, grid: Grid) -> Iterator[Line]:
    """Lines of label-quality.csv, see `reports.label_quality.COLUMNS`.

    The crops of a seed are the same for all its networks, and none was trained on them. People's
    labels are of whole images, so their test images are labelled here for evaluation alone.

    Raises:
        DataError: when nothing is known to compare labels with.
        CheckpointError: when a network doesn't fit the data.
    """
    data = assessed_data(recipe, targets)
    device = builders.fabric(recipe.engine).device
    if recipe.engine.threads:
        torch.set_num_threads(recipe.engine.threads)
    size = recipe.data.train_crop.size
    frozen = {each.name: frozen_network(each, data, size) for each in targets}
    human = _human(data, grid)
    for seed in dict.fromkeys(_seed(each) for each in targets):
        own = recipe if seed is None else recipe.model_copy(update={"seed": seed})
        view = builders.train_view(own, data, unseen_generation(own), device)
        truths = [*_crop_truth(view, grid), *human]
        if not truths:
            raise DataError(
                f"data set '{data.name}': the true labels of its crops are not known; name a file "
                "of people's labels with --human"
            )
        for truth in truths:
            for line in _given(truth, data):
                yield {"seed": seed, **line}
            for target in (each for each in targets if _seed(each) == seed):
                say(f"{target.name}: labels against {truth.basis}, {len(truth.rows)} images")
                yield from _of_target(target, frozen[target.name], own, view, truth, grid)


def _seed(network: Network) -> int | None:
    return network.trained.seed if network.trained else None


def _human(data: Dataset, grid: Grid) -> list[_Truth]:
    if grid.human is None:
        return []
    mine = grid.human.read(data).of_rows(data.manifest.rows(grid.split))
    if not len(mine):
        raise DataError(f"{grid.human.path}: people labelled no image of the {grid.split} split")
    chosen = evenly_spaced(np.arange(len(mine)), grid.images)
    return [_Truth("people", grid.split, mine.rows[chosen], mine.distributions[chosen])]


def _crop_truth(view: View, grid: Grid) -> list[_Truth]:
    rows = evenly_spaced(view.dataset.manifest.rows("train"), grid.images)
    found = view.truth(rows, 0)
    return [] if found is None else [_Truth("crop truth", "train", rows, found)]


def _given(truth: _Truth, data: Dataset) -> Iterator[Line]:
    """Given labels, one-hot and smoothed."""
    one_hot = np.eye(len(data.classes))[data.manifest.labels[truth.rows]]
    for epsilon in (0.0, *SMOOTHING):
        name = f"smoothing {epsilon:g}" if epsilon else "given labels"
        labels = (1 - epsilon) * one_hot + epsilon / len(data.classes)
        quality = label_quality(labels, truth.distributions)
        yield {"stage": name, "basis": truth.basis, "split": truth.split, **quality}


def _of_target(
    target: Network, frozen: FrozenNetwork, recipe: Recipe, view: View, truth: _Truth, grid: Grid
) -> Iterator[Line]:
    image_view = builders.eval_view(recipe, view.dataset, view.device)
    stage = target.trained
    known: Line = {"run": target.run.name if target.run else "", "row": stage.row if stage else ""}
    known |= {"stage": stage.stage if stage else target.name, "seed": _seed(target)}
    known |= {"generation": stage.generation if stage else 1, "model": architecture(target)}
    known |= {"basis": truth.basis, "split": truth.split}
    for mode, group in _ways(grid, len(truth.rows)):
        refiner = builders.refiner(
            Refining(batch_norm=mode),
            [frozen],
            view,
            view.dataset.manifest.rows("train"),
            recipe.engine,
        )
        if mode == "batch" and not refiner.depends_on_batch:
            continue  # without batch normalization all modes are one
        for level in LEVELS:
            soft = labels_of_level(
                refiner, view, image_view, truth.rows, level=level, bn_group=group or FREE_GROUP
            )
            for form, labels in (("soft", soft), ("hard", hardened(soft))):
                way = {"batch_norm": mode, "bn_group": group, "level": level, "form": form}
                yield known | way | label_quality(labels, truth.distributions)


def _ways(grid: Grid, images: int) -> list[tuple[BatchNorm, int | None]]:
    """Modes and groups; one larger than the images there are is a group of all of them."""
    groups = dict.fromkeys(min(group, images) for group in grid.bn_groups)
    return [
        *(("batch", group) for group in groups),
        ("running", None),
        ("calibrated", None),
    ]
