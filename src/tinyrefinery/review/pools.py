"""Candidates for a queue, one function a reason; each gives the most telling images first."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from tinyrefinery.audit.association import Column
from tinyrefinery.audit.columns import metadata_columns, property_columns
from tinyrefinery.audit.shortcuts import Shortcut, find_shortcuts
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data_tests.verdicts import Result, Verdict
from tinyrefinery.evaluation.label_suspicion import find_suspects
from tinyrefinery.random import permutation
from tinyrefinery.review.queue import Item, top_classes


@dataclass(frozen=True)
class Known:
    """Images with what was said of them."""

    ids: np.ndarray = field(repr=False)
    """(N,) SHA-256 of each."""
    paths: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    """(N,) int64."""
    splits: np.ndarray = field(repr=False)
    classes: tuple[str, ...]
    network: np.ndarray = field(repr=False)
    """(N, K) probabilities; NaN where it was not asked."""
    refiner: np.ndarray | None = field(default=None, repr=False)

    def item(self, row: int, reason: str, why: str, score: float, **more: object) -> Item:
        """An image of the queue; the class that networks speak for is suggested."""
        facts: dict = {}
        for name, said in (("refiner", self.refiner), ("network", self.network)):
            if said is not None and not np.isnan(said[row, 0]):
                facts[name] = top_classes(self.classes, said[row])
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


def of_failed_tests(known: Known, results: Sequence[Result]) -> list[Item]:
    """Images that speak against the network in tests that fail, in turn from each test.

    Args:
        known: the tests' data.
        results: of the tests.
    """
    failed = [each for each in results if each.verdict is Verdict.FAIL]
    tests: dict[int, list[str]] = {}
    for result in failed:
        for row in result.worst:
            tests.setdefault(row, []).append(result.name)
    turns: dict[int, None] = {}
    for place in range(max((len(each.worst) for each in failed), default=0)):
        turns |= {each.worst[place]: None for each in failed if place < len(each.worst)}
    return [
        known.item(
            row,
            "failed_test",
            f"speaks against the network in {', '.join(tests[row])}",
            1 - place / len(turns),
            failed_tests=tuple(tests[row]),
        )
        for place, row in enumerate(turns)
    ]


def of_suspects(known: Known, dataset: Dataset, dynamics: pa.Table) -> list[Item]:
    """Training images whose label looks wrong, in the order of `suspects.csv`.

    Args:
        known: of the data set.
        dataset: what was trained on, as it is now.
        dynamics: as training recorded them.
    """
    places = find_suspects(dynamics)
    ids = np.array(dynamics.column("id").to_pylist(), object)[places]
    rows = dataset.manifest.current_rows(ids, dynamics.column("row").to_numpy()[places])
    names = json.loads((dynamics.schema.metadata or {}).get(b"classes", b"[]"))
    labels, aum = (dynamics.column(name).to_numpy()[places] for name in ("label", "aum"))
    refined = "refined_class" in dynamics.column_names
    guesses = dynamics.column("refined_class").to_numpy()[places] if refined else None
    found = []
    for place, row in enumerate(rows):
        if row < 0 or names[labels[place]] != known.classes[known.labels[row]]:
            continue  # gone, or relabelled since
        more: dict = {"aum": round(float(aum[place]), 3)}
        why = f"margin {aum[place]:+.2f} over training"
        if guesses is not None:
            more["suggest"] = names[int(guesses[place])]
            why += f"; refined labels say {more['suggest']}"
        found.append(known.item(int(row), "label_suspect", why, 1 - place / len(rows), **more))
    return found


def of_disagreement(known: Known) -> list[Item]:
    """Images of which network and refiner are sure of different classes, the surest first."""
    if known.refiner is None:
        return []
    with_both = ~np.isnan(known.network[:, 0]) & ~np.isnan(known.refiner[:, 0])
    network, refiner = np.nan_to_num(known.network), np.nan_to_num(known.refiner)
    ours, theirs = network.argmax(axis=1), refiner.argmax(axis=1)
    score = network.max(axis=1) * refiner.max(axis=1)
    rows = np.flatnonzero(with_both & (ours != theirs))
    rows = rows[np.argsort(-score[rows], kind="stable")]
    return [
        known.item(
            int(row),
            "disagreement",
            f"network {known.classes[ours[row]]}, refiner {known.classes[theirs[row]]}",
            score[row],
        )
        for row in rows
    ]


def of_shortcuts(known: Known, dataset: Dataset, properties: pa.Table, seed: int = 0) -> list[Item]:
    """Images with the cue of a class that they are not of; what the network gives away first.

    Args:
        known: of the data set.
        dataset: all splits; shortcuts are looked for in training.
        properties: as `image_properties` gives them, of all rows.
        seed: of the permutations.
    """
    columns = property_columns(properties)
    names = [column.name for column in columns]
    columns += metadata_columns(dataset, np.arange(len(known.labels)), names)[0]
    columns = [each for each in columns if each.name not in ("label_source", "verdict")]
    train = dataset.manifest.rows("train")
    here = [Column(each.name, each.values[train]) for each in columns]
    shortcuts, _ = find_shortcuts(here, known.labels[train], known.classes, seed=seed)
    values = {column.name: column.values for column in columns}
    lists = [_conflicting(known, each, values) for each in shortcuts]
    turns: dict[str, Item] = {}
    for place in range(max(map(len, lists), default=0)):
        for each in lists:
            if place < len(each):
                turns.setdefault(each[place].uid, each[place])
    return list(turns.values())


def _conflicting(known: Known, each: Shortcut, values: Mapping[str, np.ndarray]) -> list[Item]:
    """Images that contradict one shortcut."""
    rows = np.flatnonzero(each.cue.holds(values[each.cue.column]) & (known.labels != each.label))
    drawn = np.nan_to_num(known.network[rows, each.label])
    order = np.argsort(-drawn, kind="stable")
    name = known.classes[each.label]
    why = f"has {each.cue}, the cue of {name} ({each.share:.0%} of such images), but another label"
    return [known.item(int(rows[i]), "shortcut", why, drawn[i]) for i in order]


def at_random(known: Known, rows: np.ndarray, seed: int) -> list[Item]:
    """The images of some rows in random order; each identity once."""
    order = rows[permutation(seed, "queue", 0, len(rows))]
    _, first = np.unique(known.ids[order].astype(str), return_index=True)
    why = "drawn at random, to estimate the share of wrong labels"
    return [known.item(int(row), "random", why, 0.0) for row in order[np.sort(first)]]
