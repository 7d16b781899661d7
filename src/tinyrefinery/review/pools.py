"""Candidates for a queue, one function per reason. Each returns the most important images first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from tinyrefinery.audit.association import Column
from tinyrefinery.audit.columns import metadata_columns, property_columns
from tinyrefinery.audit.shortcuts import Shortcut, find_shortcuts
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data_tests.verdicts import Result, Verdict
from tinyrefinery.evaluation.dynamics_table import class_names_of
from tinyrefinery.evaluation.likely_label_errors import find_suspects
from tinyrefinery.random import permutation
from tinyrefinery.review.queue import REASONS, Item, top_classes


@dataclass(frozen=True)
class ImagePredictions:
    """N images with labels and predictions."""

    ids: np.ndarray = field(repr=False)
    """(N,) SHA-256 of each image."""
    paths: np.ndarray = field(repr=False)
    """(N,)."""
    labels: np.ndarray = field(repr=False)
    """(N,) int64."""
    splits: np.ndarray = field(repr=False)
    """(N,)."""
    classes: tuple[str, ...]
    network: np.ndarray = field(repr=False)
    """(N, K) probabilities; NaN where there is no prediction."""
    refiner: np.ndarray | None = field(default=None, repr=False)
    """The same from the refiner, if there is one."""

    def item(self, row: int, reason: str, why: str, score: float, **more: object) -> Item:
        """An item of the queue. It suggests the refiner's prediction, else the network's."""
        facts: dict = {}
        for name, probabilities in (("refiner", self.refiner), ("network", self.network)):
            if probabilities is not None and not np.isnan(probabilities[row, 0]):
                facts[name] = top_classes(self.classes, probabilities[row])
                facts.setdefault("suggest", next(iter(facts[name])))
        return Item(
            uid=str(self.ids[row]),
            file_name=str(self.paths[row]),
            reason=reason,
            why=why,
            score=round(float(score), 6),
            given=self.classes[self.labels[row]],
            split=str(self.splits[row]),
            **{**facts, **more},
        )


def failed_test_items(images: ImagePredictions, results: Sequence[Result]) -> list[Item]:
    """Errors in failed data tests, taken in turn from each test.

    Args:
        images: images of the tests.
        results: results of the tests.
    """
    failed = [result for result in results if result.verdict is Verdict.FAIL]
    tests: dict[int, list[str]] = {}
    for result in failed:
        for row in result.worst:
            tests.setdefault(row, []).append(result.name)
    rows: dict[int, None] = {}
    for place in range(max((len(result.worst) for result in failed), default=0)):
        rows |= {result.worst[place]: None for result in failed if place < len(result.worst)}
    return [
        images.item(
            row,
            "failed_test",
            f"counts as an error in {', '.join(tests[row])}",
            1 - place / len(rows),
            failed_tests=tuple(tests[row]),
        )
        for place, row in enumerate(rows)
    ]


def suspect_items(images: ImagePredictions, dataset: Dataset, dynamics: pa.Table) -> list[Item]:
    """Training images whose label is likely wrong, in the order of `suspects.csv`.

    Args:
        images: images of the dataset.
        dataset: the training data in its current state.
        dynamics: the training dynamics.
    """
    places = find_suspects(dynamics)
    ids = np.array(dynamics.column("id").to_pylist(), object)[places]
    rows = dataset.manifest.current_rows(ids, dynamics.column("row").to_numpy()[places])
    names = class_names_of(dynamics)
    labels, aum = (dynamics.column(name).to_numpy()[places] for name in ("label", "aum"))
    refined = "refined_class" in dynamics.column_names
    refined_classes = dynamics.column("refined_class").to_numpy()[places] if refined else None
    items = []
    for place, row in enumerate(rows):
        if row < 0 or names[labels[place]] != images.classes[images.labels[row]]:
            continue  # removed or relabeled since training
        more: dict = {"aum": round(float(aum[place]), 3)}
        why = f"margin {aum[place]:+.2f} during training"
        if refined_classes is not None:
            more["suggest"] = names[int(refined_classes[place])]
            why += f", refined label {more['suggest']}"
        items.append(images.item(int(row), "label_suspect", why, 1 - place / len(rows), **more))
    return items


def disagreement_items(images: ImagePredictions) -> list[Item]:
    """Images with different predictions from network and refiner, the most confident first."""
    if images.refiner is None:
        return []
    both = ~np.isnan(images.network[:, 0]) & ~np.isnan(images.refiner[:, 0])
    network, refiner = np.nan_to_num(images.network), np.nan_to_num(images.refiner)
    by_network, by_refiner = network.argmax(axis=1), refiner.argmax(axis=1)
    score = network.max(axis=1) * refiner.max(axis=1)
    rows = np.flatnonzero(both & (by_network != by_refiner))
    rows = rows[np.argsort(-score[rows], kind="stable")]
    names = images.classes
    return [
        images.item(
            int(row),
            "disagreement",
            f"network predicts {names[by_network[row]]}, refiner {names[by_refiner[row]]}",
            score[row],
        )
        for row in rows
    ]


def shortcut_items(
    images: ImagePredictions, dataset: Dataset, properties: pa.Table, seed: int = 0
) -> list[Item]:
    """Images with the cue of another class, taken in turn from each shortcut.

    For each shortcut, images for which the network predicts the cue's class come first.

    Args:
        images: images of the dataset.
        dataset: all splits. Shortcuts are searched in training images.
        properties: of all rows, as `image_properties` returns them.
        seed: for the permutations.
    """
    columns = property_columns(properties)
    names = [column.name for column in columns]
    columns += metadata_columns(dataset, np.arange(len(images.labels)), names)[0]
    columns = [column for column in columns if column.name not in ("label_source", "verdict")]
    train = dataset.manifest.rows("train")
    train_columns = [Column(column.name, column.values[train]) for column in columns]
    shortcuts, _ = find_shortcuts(train_columns, images.labels[train], images.classes, seed=seed)
    values = {column.name: column.values for column in columns}
    lists = [_conflicting(images, shortcut, values) for shortcut in shortcuts]
    items: dict[str, Item] = {}
    for place in range(max(map(len, lists), default=0)):
        for candidates in lists:
            if place < len(candidates):
                items.setdefault(candidates[place].uid, candidates[place])
    return list(items.values())


def _conflicting(
    images: ImagePredictions, shortcut: Shortcut, values: Mapping[str, np.ndarray]
) -> list[Item]:
    """Images with the cue of a shortcut and another label."""
    cue, label = shortcut.cue, shortcut.label
    rows = np.flatnonzero(cue.holds(values[cue.column]) & (images.labels != label))
    probability = np.nan_to_num(images.network[rows, label])
    order = np.argsort(-probability, kind="stable")
    name = images.classes[label]
    why = f"has {cue}, as {name} does ({shortcut.share:.0%} of such images), but another label"
    return [images.item(int(rows[i]), "shortcut", why, probability[i]) for i in order]


def random_items(images: ImagePredictions, rows: np.ndarray, seed: int) -> list[Item]:
    """The given rows in random order, with identical images only once."""
    order = rows[permutation(seed, "queue", 0, len(rows))]
    _, first = np.unique(images.ids[order].astype(str), return_index=True)
    why = REASONS["random"]
    return [images.item(int(row), "random", why, 0.0) for row in order[np.sort(first)]]
