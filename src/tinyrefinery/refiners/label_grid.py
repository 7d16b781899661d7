"""The quality of every kind of refined label, where true labels are known.

There is one line per network, batch-norm mode, group size, level, and soft or hard label. It has
the distance of these labels to the true distribution of each crop, or to human labels.
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
from tinyrefinery.refiners.crop_labeling import hard_labels, labels_of_level

LEVELS: tuple[Level, ...] = ("crop", "image", "category")
SMOOTHING = (0.05, 0.1, 0.2)  # our choice; 0.1 is Szegedy et al. 2016, section 7
FREE_GROUP = 256  # crops per batch if they don't share statistics

log = logging.getLogger("tinyrefinery")
Line = dict[str, Any]


@dataclass(frozen=True)
class Grid:
    """The labels to compare, and the number of images."""

    images: int = 10_000
    bn_groups: tuple[int, ...] = (16, 64, 256)
    human: HumanFile | None = None
    split: str = "test"
    """Split of the human-labeled images."""


@dataclass(frozen=True)
class _Truth:
    """The true labels to compare with."""

    basis: str
    split: str
    rows: np.ndarray
    distributions: np.ndarray


def label_lines(targets: Sequence[Network], recipe: Recipe, grid: Grid) -> Iterator[Line]:
    """Label crops and compute lines of label-quality.csv, see `label_report.COLUMNS`.

    All networks of a seed label the same crops, which none of them was trained on. Human labels are
    of whole images. Their test images are labeled here only for evaluation.

    Raises:
        DataError: when no true labels are known.
        CheckpointError: when a network doesn't fit the data.
    """
    data = assessed_data(recipe, targets)
    device = builders.fabric(recipe.engine).device
    if recipe.engine.threads:
        torch.set_num_threads(recipe.engine.threads)
    frozen = {target.name: frozen_network(target, data) for target in targets}
    human = _human(data, grid)
    for seed in dict.fromkeys(_seed(target) for target in targets):
        with_seed = recipe if seed is None else recipe.model_copy(update={"seed": seed})
        view = builders.train_view(
            with_seed, data, unseen_generation(with_seed), device, mixed=False
        )
        truths = [*_crop_truth(view, grid), *human]
        if not truths:
            raise DataError(
                f"dataset '{data.name}': the true labels of its crops are unknown: give a file of "
                "human labels with --human"
            )
        for truth in truths:
            for line in _given_lines(truth, data):
                yield {"seed": seed, **line}
            for target in (target for target in targets if _seed(target) == seed):
                log.info(f"{target.name}: comparing {len(truth.rows)} labels to {truth.basis}")
                network = frozen[target.name]
                yield from _target_lines(target, network, with_seed, view, truth, grid)


def _seed(network: Network) -> int | None:
    return network.trained.seed if network.trained else None


def _human(data: Dataset, grid: Grid) -> list[_Truth]:
    if grid.human is None:
        return []
    labels = grid.human.read(data).of_rows(data.manifest.rows(grid.split))
    if not len(labels):
        raise DataError(
            f"{grid.human.path}: no label is of an image of the {grid.split} split: give --split"
        )
    chosen = evenly_spaced(np.arange(len(labels)), grid.images)
    return [_Truth("human labels", grid.split, labels.rows[chosen], labels.distributions[chosen])]


def _crop_truth(view: View, grid: Grid) -> list[_Truth]:
    rows = evenly_spaced(view.dataset.manifest.rows("train"), grid.images)
    distributions = view.truth(rows, 0)
    return (
        [] if distributions is None else [_Truth("true crop labels", "train", rows, distributions)]
    )


def _given_lines(truth: _Truth, data: Dataset) -> Iterator[Line]:
    """Lines of the given labels, one-hot and smoothed."""
    one_hot = np.eye(len(data.classes))[data.manifest.labels[truth.rows]]
    for epsilon in (0.0, *SMOOTHING):
        name = f"smoothing {epsilon:g}" if epsilon else "given labels"
        labels = (1 - epsilon) * one_hot + epsilon / len(data.classes)
        quality = label_quality(labels, truth.distributions)
        yield {"stage": name, "basis": truth.basis, "split": truth.split, **quality}


def _target_lines(
    target: Network, frozen: FrozenNetwork, recipe: Recipe, view: View, truth: _Truth, grid: Grid
) -> Iterator[Line]:
    image_view = builders.eval_view(recipe, view.dataset, view.device)
    stage = target.trained
    facts: Line = {"run": target.run.name if target.run else "", "row": stage.row if stage else ""}
    facts |= {"stage": stage.stage if stage else target.name, "seed": _seed(target)}
    facts |= {"generation": stage.generation if stage else 1, "model": architecture(target)}
    facts |= {"basis": truth.basis, "split": truth.split}
    for mode, group in _modes(grid, len(truth.rows)):
        refiner = builders.refiner(
            Refining(batch_norm=mode),
            [frozen],
            view,
            view.dataset.manifest.rows("train"),
            recipe.engine,
        )
        if mode == "batch" and not refiner.depends_on_batch:
            continue  # without batch normalization, all modes are the same
        for level in LEVELS:
            soft = labels_of_level(
                refiner, view, image_view, truth.rows, level=level, bn_group=group or FREE_GROUP
            )
            for form, labels in (("soft", soft), ("hard", hard_labels(soft))):
                kind = {"batch_norm": mode, "bn_group": group, "level": level, "form": form}
                yield facts | kind | label_quality(labels, truth.distributions)


def _modes(grid: Grid, images: int) -> list[tuple[BatchNorm, int | None]]:
    """Modes and group sizes. A group has at most all images."""
    groups = dict.fromkeys(min(group, images) for group in grid.bn_groups)
    return [
        *(("batch", group) for group in groups),
        ("running", None),
        ("calibrated", None),
    ]
