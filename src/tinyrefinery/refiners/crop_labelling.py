"""Labels that a refiner gives to crops of several streams, kept as one array."""

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
    mates_seed: int | None = None,
) -> np.ndarray:
    """What a refiner says of one crop of each sample in each of several streams.

    Args:
        refiner: the frozen networks.
        view: the crops.
        rows: (N,) manifest rows, which make up the BN groups.
        streams: S, how many; they are numbered from 0.
        bn_group: crops that share batch statistics, where the refiner uses those.
        workers: threads that prepare crops.
        mates_seed: shuffles the BN groups differently from the view's own seed; the crops stay.

    Returns:
        (S, N, K) float32, in the order of `rows`; rows sum to one.

    Raises:
        DataError: when a BN group can't give sound labels.
        CheckpointError: when the refiner has other classes than the data.
    """
    made = CropLabels(refiner, view, rows, group=bn_group)
    if mates_seed is not None:
        least = SMALLEST_GROUP if refiner.depends_on_batch else 1
        made.plan = GroupPlan(rows, group=bn_group, seed=mates_seed, smallest=least)
    place = np.full(int(rows.max()) + 1, -1)
    place[rows] = np.arange(len(rows))
    labels = np.zeros((streams, len(rows), made.classes), np.float32)
    for stream in range(streams):
        for each, found in made.of_stream(stream, workers=workers):
            labels[stream, place[each]] = found.cpu().numpy()
    return labels


def labels_of_level(
    refiner: Refiner, view: View, image_view: View, rows: np.ndarray, *, level: Level, bn_group: int
) -> np.ndarray:
    """The soft targets of one stream of crops at a level of `labels.policy.RefinedLabels`.

    Args:
        refiner: the frozen networks.
        view: the crops, of its stream 0.
        image_view: the crop that stands for the whole image.
        rows: (N,) manifest rows; the samples of which BN groups, and means over a category, are
            made.
        level: of the crop, of its image, or of its category.
        bn_group: crops that share batch statistics, where the refiner uses those.

    Returns:
        (N, K) float32, in the order of `rows`.
    """
    crop_labels = CropLabels(refiner, view, rows, group=bn_group)
    policy = RefinedLabels(Refining(level=level), crop_labels, image_view=image_view)
    place = np.full(int(rows.max()) + 1, -1)
    place[rows] = np.arange(len(rows))
    labels = np.zeros((len(rows), policy.classes), np.float32)
    # Whole BN groups in the order of the plan, so that none is labelled twice.
    for each in split_batches(shuffled(rows, view.seed, 0), bn_group, drop_last=False):
        found = policy(view.render(each, 0))
        whole = found.dense() if isinstance(found, SparseTargets) else found
        labels[place[each]] = whole.cpu().numpy()
    return labels


def hardened(labels: np.ndarray) -> np.ndarray:
    """One-hot of the most probable class of each row, the lowest number among equals."""
    hard = np.zeros_like(labels)
    hard[np.arange(len(labels)), labels.argmax(axis=1)] = 1
    return hard
