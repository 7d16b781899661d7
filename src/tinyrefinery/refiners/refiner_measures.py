"""Measures of a refiner before anyone trains on its labels.

The refiner labels new crops of training images, and crops of validation images. The difference is
memorized: such labels repeat the given ones instead of describing the crop (Label Refinery, arXiv
1805.02641, Table 6: VGG-16 is more accurate than MobileNet, but the worse refiner).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyrefinery import random
from tinyrefinery.data.batches import View
from tinyrefinery.evaluation.calibration import (
    expected_calibration_error,
    negative_log_likelihood,
)
from tinyrefinery.evaluation.label_quality import label_kl, label_quality
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.refiners.crop_disagreement import crop_disagreement, movement
from tinyrefinery.refiners.crop_labeling import labels_of_streams
from tinyrefinery.refiners.human_labels import HumanLabels
from tinyrefinery.statistics.proportions import wilson_interval

SMOOTHING = 0.1  # Szegedy et al. 2016, section 7


@dataclass(frozen=True)
class Setting:
    """Images, crops and settings, the same for all refiners that are compared."""

    view: View
    """Training crops, of a seed that no refiner was trained with."""
    image_view: View
    """Whole images."""
    train_rows: np.ndarray = field(repr=False)
    held_out_rows: np.ndarray = field(repr=False)
    """Rows of the validation split."""
    crops: int = 4
    """Crops per image, at least 2."""
    bn_group: int = 128
    workers: int = 0
    human: HumanLabels | None = None


@dataclass(frozen=True)
class Measurement:
    """The measures of one refiner."""

    measures: dict[str, Any]
    """See `measure_refiner`."""
    train: np.ndarray = field(repr=False)
    """(N,) share of each training image's crops whose top class is the given one."""
    held_out: np.ndarray = field(repr=False)
    """(M,) the same for each validation image."""
    truth_kl: np.ndarray | None = field(repr=False)
    """(N,) mean KL from true crop label to label, per training image; None if unknown."""


def measure_refiner(modes: Mapping[str, Refiner], mode: str, setting: Setting) -> Measurement:
    """Label crops and whole images, and measure the labels.

    Args:
        modes: the refiner in `batch`, `running` and `calibrated` batch normalization.
        mode: the mode to label with.
        setting: images and crops.

    Returns:
        The measures, JSON-ready: `batch_norm` and `bn_group` of the labels (None without batch
        normalization); `validation`: of whole images by running statistics: n, top1,
        top1_interval, nll, ece, confidence; `train_crops` and `validation_crops`: the same and
        `crop_disagreement`; `gap`: see `_gap`; `movement`: by mode, `movement` from the labels to
        that mode, and under `other_bn_groups` to other BN groups; `crop_truth`: `label_quality` of
        `labels`, `given` and `smoothed` labels, {} if true labels are unknown; `human`: the same
        by split.
    """
    refiner = modes[mode]
    train = _crop_labels(refiner, setting, setting.train_rows)  # (S, N, K)
    held_out = _crop_labels(refiner, setting, setting.held_out_rows)
    labels = setting.view.dataset.manifest.labels
    given, held_given = labels[setting.train_rows], labels[setting.held_out_rows]
    whole = _whole_labels(modes["running"], setting, setting.held_out_rows)
    right = (train.argmax(axis=2) == given).mean(axis=0)  # (S, N) -> (N,)
    held_right = (held_out.argmax(axis=2) == held_given).mean(axis=0)
    truth = _truth(setting, len(train))
    group = min(setting.bn_group, len(setting.train_rows)) if refiner.depends_on_batch else None
    measures: dict[str, Any] = {
        "batch_norm": mode if modes["batch"].depends_on_batch else None,
        "bn_group": group,
        "validation": _agreement(whole[None], held_given)
        | {"top1_interval": _interval(whole, held_given)},
        "train_crops": _agreement(train, given) | crop_disagreement(train),
        "validation_crops": _agreement(held_out, held_given) | crop_disagreement(held_out),
    }
    measures["gap"] = _gap(right, held_right, measures)
    measures["movement"] = _movements(modes, mode, setting, train[0])
    measures["crop_truth"] = _quality(_flat(train), truth, np.tile(given, len(train)))
    measures["human"] = _human(refiner, setting)
    kl = None if truth is None else label_kl(_flat(train), truth)
    kl = None if kl is None else kl.reshape(len(train), -1).mean(axis=0)  # (S N,) -> (N,)
    return Measurement(measures, right, held_right, kl)


def _crop_labels(refiner: Refiner, setting: Setting, rows: np.ndarray) -> np.ndarray:
    """Labels of crops, (S, N, K)."""
    group, workers = setting.bn_group, setting.workers
    return labels_of_streams(
        refiner, setting.view, rows, streams=setting.crops, bn_group=group, workers=workers
    )


def _whole_labels(refiner: Refiner, setting: Setting, rows: np.ndarray) -> np.ndarray:
    """Labels of whole images, (N, K)."""
    group, workers = setting.bn_group, setting.workers
    return labels_of_streams(
        refiner, setting.image_view, rows, streams=1, bn_group=group, workers=workers
    )[0]


def _flat(labels: np.ndarray) -> np.ndarray:
    return labels.reshape(-1, labels.shape[2])


def _agreement(labels: np.ndarray, given: np.ndarray) -> dict[str, float | int]:
    """Measures of labels (S, N, K) against given classes (N,), over all S * N crops."""
    flat, tiled = _flat(labels), np.tile(given, len(labels))
    return {
        "n": len(flat),
        "top1": float((flat.argmax(axis=1) == tiled).mean()),
        "nll": negative_log_likelihood(flat, tiled),
        "ece": expected_calibration_error(flat, tiled),
        "confidence": float(flat.max(axis=1).mean(dtype=np.float64)),
    }


def _interval(labels: np.ndarray, given: np.ndarray) -> list[float]:
    share = float((labels.argmax(axis=1) == given).mean())
    return list(wilson_interval(share, len(given)))


def _gap(train: np.ndarray, held_out: np.ndarray, measures: Mapping[str, Any]) -> dict[str, float]:
    """How much is memorized.

    Returns:
        `top1`: training minus validation, both on crops, so that only the images differ;
        `standard_error`: of `top1`, over images; `to_whole_images`: training crops minus whole
        validation images, as in training logs and the paper; `nll`: validation minus training
        crops, in nats.
    """
    crops, held = measures["train_crops"], measures["validation_crops"]
    variance = sum(float(shares.var()) / len(shares) for shares in (train, held_out))
    return {
        "top1": crops["top1"] - held["top1"],
        "standard_error": variance**0.5,
        "to_whole_images": crops["top1"] - measures["validation"]["top1"],
        "nll": held["nll"] - crops["nll"],
    }


def _movements(
    modes: Mapping[str, Refiner], mode: str, setting: Setting, labels: np.ndarray
) -> dict[str, Any]:
    """How much labels (N, K) of stream 0 change with the BN mode, and in other BN groups."""
    if not modes["batch"].depends_on_batch:
        return {}

    def relabel(refiner: Refiner, group_seed: int | None = None) -> np.ndarray:
        """Labels (n, K) of the same training crops; `group_seed` draws other BN groups."""
        return labels_of_streams(
            refiner,
            setting.view,
            setting.train_rows,
            streams=1,
            bn_group=setting.bn_group,
            workers=setting.workers,
            group_seed=group_seed,
        )[0]

    movements = {
        other: movement(labels, relabel(refiner))
        for other, refiner in modes.items()
        if other != mode
    }
    if modes[mode].depends_on_batch:
        seed = random.integer(setting.view.seed, "other mates")
        movements["other_bn_groups"] = movement(labels, relabel(modes[mode], seed))
    return movements


def _truth(setting: Setting, streams: int) -> np.ndarray | None:
    """True labels of the training crops, (S * N, K); None if unknown."""
    truths = [setting.view.truth(setting.train_rows, stream) for stream in range(streams)]
    given_truths = [truth for truth in truths if truth is not None]
    return np.concatenate(given_truths) if len(given_truths) == streams else None


def _quality(
    labels: np.ndarray, truth: np.ndarray | None, given: np.ndarray
) -> dict[str, dict[str, float | int]]:
    """Quality of refined, given and smoothed labels."""
    if truth is None:
        return {}
    one_hot = np.eye(labels.shape[1])[given]
    smoothed = (1 - SMOOTHING) * one_hot + SMOOTHING / labels.shape[1]
    kinds = {"labels": labels, "given": one_hot, "smoothed": smoothed}
    return {name: label_quality(kind, truth) for name, kind in kinds.items()}


def _human(refiner: Refiner, setting: Setting) -> dict[str, Any]:
    """Quality of labels of whole images against human labels, by split."""
    manifest, by_split = setting.view.dataset.manifest, {}
    for split in ("train", "validation", "test"):
        if setting.human is None:
            continue
        human = setting.human.of_rows(manifest.rows(split))
        if len(human):
            labels = _whole_labels(refiner, setting, human.rows)
            given = manifest.labels[human.rows]
            by_split[split] = _quality(labels, human.distributions, given)
    return by_split
