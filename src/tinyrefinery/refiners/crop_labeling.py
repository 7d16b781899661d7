"""Labeling crops with a refiner, as one array."""

import numpy as np

from tinyrefinery.data.batches import View, shuffled, split_batches
from tinyrefinery.labels.batch_norm import SMALLEST_GROUP, GroupPlan
from tinyrefinery.labels.crop_labels import CropLabels
from tinyrefinery.labels.policy import RefinedLabels
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.losses.targets import SparseTargets
from tinyrefinery.options.labels import Level, Refining


def labels_of_streams(
    refiner: Refiner,
    view: View,
    rows: np.ndarray,
    *,
    streams: int,
    bn_group: int,
    workers: int = 0,
    group_seed: int | None = None,
) -> np.ndarray:
    """Label one crop of each sample in each of several streams.

    Args:
        refiner: the frozen networks.
        view: the crops.
        rows: (N,) manifest rows, from which the BN groups are formed.
        streams: S, the number of streams, counted from 0.
        bn_group: crops that share batch statistics, if the refiner uses them.
        workers: threads that prepare crops.
        group_seed: forms other BN groups of the same crops; by default, those of the view's seed.

    Returns:
        (S, N, K) float32, in the order of `rows`; rows sum to one.

    Raises:
        DataError: when a BN group is too small.
        CheckpointError: when the refiner has other classes than the data.
    """
    crop_labels = CropLabels(refiner, view, rows, group=bn_group)
    if group_seed is not None:
        least = SMALLEST_GROUP if refiner.depends_on_batch else 1
        crop_labels.plan = GroupPlan(rows, group=bn_group, seed=group_seed, smallest=least)
    place = np.full(int(rows.max()) + 1, -1)
    place[rows] = np.arange(len(rows))
    labels = np.zeros((streams, len(rows), crop_labels.classes), np.float32)
    for stream in range(streams):
        for batch_rows, batch in crop_labels.of_stream(stream, workers=workers):
            labels[stream, place[batch_rows]] = batch.cpu().numpy()
    return labels


def labels_of_level(
    refiner: Refiner, view: View, image_view: View, rows: np.ndarray, *, level: Level, bn_group: int
) -> np.ndarray:
    """Compute soft targets of stream 0 at a level of `labels.policy.RefinedLabels`.

    Args:
        refiner: the frozen networks.
        view: the crops.
        image_view: renders whole images.
        rows: (N,) manifest rows, from which BN groups and means over a category are formed.
        level: label of the crop, of its image, or of its category.
        bn_group: crops that share batch statistics, if the refiner uses them.

    Returns:
        (N, K) float32, in the order of `rows`.
    """
    crop_labels = CropLabels(refiner, view, rows, group=bn_group)
    policy = RefinedLabels(Refining(level=level), crop_labels, image_view=image_view)
    place = np.full(int(rows.max()) + 1, -1)
    place[rows] = np.arange(len(rows))
    labels = np.zeros((len(rows), policy.classes), np.float32)
    # Whole BN groups in the order of the plan, so that no group is labeled twice.
    for group_rows in split_batches(shuffled(rows, view.seed, 0), bn_group, drop_last=False):
        targets = policy(view.render(group_rows, 0))
        dense = targets.dense() if isinstance(targets, SparseTargets) else targets
        labels[place[group_rows]] = dense.cpu().numpy()
    return labels


def hard_labels(labels: np.ndarray) -> np.ndarray:
    """The most probable class of each row as one-hot, with ties going to the lowest number."""
    hard = np.zeros_like(labels)
    hard[np.arange(len(labels)), labels.argmax(axis=1)] = 1
    return hard
