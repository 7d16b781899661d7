"""What can be told of a refiner before anyone trains on its labels.

Measured on training crops that it was not trained on, and on the same kind of crops of validation
images. What it does better on the former it knows by heart: those labels repeat the given ones
instead of telling what a crop shows (Label Refinery, arXiv 1805.02641, Table 6: VGG-16 is the more
accurate network and the worse refiner than MobileNet).
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
from tinyrefinery.refiners.crop_labelling import labels_of_streams
from tinyrefinery.refiners.human_labels import HumanLabels
from tinyrefinery.statistics.proportions import wilson_interval

SMOOTHING = 0.1  # Szegedy et al. 2016, section 7


@dataclass(frozen=True)
class Setting:
    """On what, and how, refiners are looked at; the same for all that are compared."""

    view: View
    """Training crops, of a seed that none of them was trained with."""
    image_view: View
    """Whole images."""
    train_rows: np.ndarray = field(repr=False)
    held_out_rows: np.ndarray = field(repr=False)
    """Of the validation split."""
    crops: int = 4
    """Of each image; at least 2."""
    bn_group: int = 128
    workers: int = 0
    human: HumanLabels | None = None


@dataclass(frozen=True)
class Measured:
    """What was found of one refiner."""

    measures: dict[str, Any]
    """See `measure_refiner`."""
    train: np.ndarray = field(repr=False)
    """(N,) share of each training image's crops labelled as given."""
    held_out: np.ndarray = field(repr=False)
    """(M,) the same of each validation image."""
    truth_kl: np.ndarray | None = field(repr=False)
    """(N,) mean KL to crop truth of each training image's crops; None where it isn't known."""


def measure_refiner(modes: Mapping[str, Refiner], mode: str, on: Setting) -> Measured:
    """Label crops and whole images, and measure the labels.

    Args:
        modes: the refiner under `batch`, `running` and `calibrated` batch normalization.
        mode: the one that is to label.
        on: images and crops.

    Returns:
        The measures, ready for JSON: `batch_norm` and `bn_group` that labelled (None without batch
        normalization); `validation`: whole images, running statistics: n, top1, top1_interval, nll,
        ece, confidence; `train_crops` and `validation_crops`: those and `crop_disagreement`;
        `gap`: see `_gap`; `movement`: by mode, `movement` of the labels to it, and under
        `other_mates` to other BN groups; `crop_truth`: `label_quality` of `labels`, `given` and
        `smoothed` labels, {} where it isn't known; `human`: the same by split.
    """
    refiner = modes[mode]
    train = _crop_labels(refiner, on, on.train_rows)
    held_out = _crop_labels(refiner, on, on.held_out_rows)
    labels = on.view.dataset.manifest.labels
    given, held_given = labels[on.train_rows], labels[on.held_out_rows]
    whole = _whole(modes["running"], on, on.held_out_rows)
    right = (train.argmax(axis=2) == given).mean(axis=0)
    held_right = (held_out.argmax(axis=2) == held_given).mean(axis=0)
    truth = _truth(on, len(train))
    depends = refiner.depends_on_batch
    measures: dict[str, Any] = {
        "batch_norm": mode if modes["batch"].depends_on_batch else None,
        "bn_group": min(on.bn_group, len(on.train_rows)) if depends else None,
        "validation": _agreement(whole[None], held_given)
        | {"top1_interval": _interval(whole, held_given)},
        "train_crops": _agreement(train, given) | crop_disagreement(train),
        "validation_crops": _agreement(held_out, held_given) | crop_disagreement(held_out),
    }
    measures["gap"] = _gap(right, held_right, measures)
    measures["movement"] = _movements(modes, mode, on, train[0])
    measures["crop_truth"] = _quality(_flat(train), truth, np.tile(given, len(train)))
    measures["human"] = _human(refiner, on)
    kl = None if truth is None else label_kl(_flat(train), truth)
    kl = None if kl is None else kl.reshape(len(train), -1).mean(axis=0)
    return Measured(measures, right, held_right, kl)


def _crop_labels(refiner: Refiner, on: Setting, rows: np.ndarray) -> np.ndarray:
    return labels_of_streams(
        refiner, on.view, rows, streams=on.crops, bn_group=on.bn_group, workers=on.workers
    )


def _whole(refiner: Refiner, on: Setting, rows: np.ndarray) -> np.ndarray:
    """Labels of whole images, (N, K)."""
    return labels_of_streams(
        refiner, on.image_view, rows, streams=1, bn_group=on.bn_group, workers=on.workers
    )[0]


def _flat(labels: np.ndarray) -> np.ndarray:
    return labels.reshape(-1, labels.shape[2])


def _agreement(labels: np.ndarray, given: np.ndarray) -> dict[str, float | int]:
    """Of labels (S, N, K) with given classes (N,), over all S * N crops."""
    flat, own = _flat(labels), np.tile(given, len(labels))
    return {
        "n": len(flat),
        "top1": float((flat.argmax(axis=1) == own).mean()),
        "nll": negative_log_likelihood(flat, own),
        "ece": expected_calibration_error(flat, own),
        "confidence": float(flat.max(axis=1).mean(dtype=np.float64)),
    }


def _interval(labels: np.ndarray, given: np.ndarray) -> list[float]:
    share = float((labels.argmax(axis=1) == given).mean())
    return list(wilson_interval(share, len(given)))


def _gap(train: np.ndarray, held_out: np.ndarray, measures: Mapping[str, Any]) -> dict[str, float]:
    """What is known by heart.

    Returns:
        `top1`: training minus validation, both on crops, so that nothing but the images differs;
        `standard_error` of it, images being the units; `to_whole_images`: training crops minus
        whole validation images, as training logs and the paper have it; `nll`: validation minus
        training crops, in nats.
    """
    crops, held = measures["train_crops"], measures["validation_crops"]
    variance = sum(float(each.var()) / len(each) for each in (train, held_out))
    return {
        "top1": crops["top1"] - held["top1"],
        "standard_error": variance**0.5,
        "to_whole_images": crops["top1"] - measures["validation"]["top1"],
        "nll": held["nll"] - crops["nll"],
    }


def _movements(
    modes: Mapping[str, Refiner], mode: str, on: Setting, labels: np.ndarray
) -> dict[str, Any]:
    """How far labels (N, K) of stream 0 move with the BN mode, and with other batch mates."""
    if not modes["batch"].depends_on_batch:
        return {}
    options: dict[str, Any] = {"streams": 1, "bn_group": on.bn_group, "workers": on.workers}
    found = {}
    for other, refiner in modes.items():
        if other != mode:
            made = labels_of_streams(refiner, on.view, on.train_rows, **options)[0]
            found[other] = movement(labels, made)
    if modes[mode].depends_on_batch:
        seed = random.integer(on.view.seed, "other mates")
        made = labels_of_streams(modes[mode], on.view, on.train_rows, mates_seed=seed, **options)
        found["other_mates"] = movement(labels, made[0])
    return found


def _truth(on: Setting, streams: int) -> np.ndarray | None:
    """True labels of the training crops, (S * N, K)."""
    found = [on.view.truth(on.train_rows, stream) for stream in range(streams)]
    return None if any(each is None for each in found) else np.concatenate(found)  # type: ignore[arg-type]


def _quality(
    labels: np.ndarray, truth: np.ndarray | None, given: np.ndarray
) -> dict[str, dict[str, float | int]]:
    """Quality of refined labels, of the given ones, and of these smoothed."""
    if truth is None:
        return {}
    one_hot = np.eye(labels.shape[1])[given]
    smoothed = (1 - SMOOTHING) * one_hot + SMOOTHING / labels.shape[1]
    kinds = {"labels": labels, "given": one_hot, "smoothed": smoothed}
    return {name: label_quality(each, truth) for name, each in kinds.items()}


def _human(refiner: Refiner, on: Setting) -> dict[str, Any]:
    """Quality of labels of whole images against what people said, by split."""
    manifest, found = on.view.dataset.manifest, {}
    for split in ("train", "validation", "test"):
        if on.human is None or not len(mine := on.human.of_rows(manifest.rows(split))):
            continue
        labels = _whole(refiner, on, mine.rows)
        found[split] = _quality(labels, mine.distributions, manifest.labels[mine.rows])
    return found
