"""Human decisions laid over a data set when it is opened; its files stay as they are."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from tinyrefinery.data.dataset import Dataset, Problem
from tinyrefinery.data.manifest import SOFT, Manifest
from tinyrefinery.data.overlay.additions import check_class, with_additions
from tinyrefinery.data.overlay.decisions import (
    Decision,
    additions,
    conflicts,
    newest,
    read_decisions,
)
from tinyrefinery.data.overlay.votes import shares, words
from tinyrefinery.errors import DataError

GIVEN, HUMAN = "given", "human"
Ambiguous = Literal["soft", "given", "drop"]


def with_overlay(dataset: Dataset, path: Path, ambiguous: Ambiguous = "soft") -> Dataset:
    """The data set as people judged it.

    `relabel` changes the label; `drop` takes the image out; `too_hard` takes it out of training and
    leaves it, marked, where networks are measured; `ok` and `ambiguous` mark it. The manifest gets
    the columns `label_source` (`human:NAME` for what a person looked at, else what the source says,
    or `given`) and `verdict` (null where nobody decided). All images of the same bytes are meant.

    An image that is ambiguous, or about which reviewers disagree, gets a soft label where their
    words name several classes (see `votes`): the column `soft_label`. First of all, images that the
    overlay adds join training (see `additions`).

    Args:
        dataset: as its source has it.
        path: the decisions.
        ambiguous: `soft`: as said; `given`: without soft labels; `drop`: images that would have
            one, or are found ambiguous, leave training, and stay where networks are measured.

    Raises:
        DataError: when the file can't be read, names a class that the data lacks, is about none of
            its images, or leaves no training image.
    """
    said = read_decisions(path)
    chosen = newest(said)
    dataset = with_additions(dataset, path, said)
    ids = dataset.manifest.column("id")
    known = set(ids)
    own = {uid: each for uid, each in chosen.items() if uid in known}
    if chosen and not own and not additions(said):
        raise DataError(
            f"{path}: none of its {len(chosen)} decisions is about an image of "
            f"'{dataset.name}'; is it the overlay of other data?"
        )
    own, stale = _current(dataset, own)
    manifest, kept = _applied(dataset.manifest, own, path)
    soft = _soft_labels(manifest, words(said), path)
    if ambiguous == "soft":
        manifest = _with_soft(manifest, soft)
    elif ambiguous == "drop":
        unclear = np.array([each is not None for each in soft], bool)
        unclear |= manifest.column("verdict") == "ambiguous"
        kept &= ~(unclear & (manifest.column("split") == "train"))
    torn = {uid for uid in conflicts(said) if uid in known}
    problems = (*dataset.problems, *_told(path, chosen, own, stale, torn))
    laid = replace(dataset, manifest=manifest, problems=problems)
    if kept.all():
        return laid
    if not (kept & (manifest.column("split") == "train")).any():
        raise DataError(f"{path}: its decisions leave no training image of '{dataset.name}'")
    return laid.select(np.flatnonzero(kept))


def _current(
    dataset: Dataset, own: Mapping[str, Decision]
) -> tuple[dict[str, Decision], list[Decision]]:
    """Decisions that speak of the labels as they are, and `ok`s of labels that changed since."""
    labels = np.array(dataset.classes, object)[dataset.manifest.labels]
    there = set(zip(dataset.manifest.column("id"), labels, strict=True))
    stale = [
        each
        for uid, each in own.items()
        if each.verdict == "ok" and each.was is not None and (uid, each.was) not in there
    ]
    gone = {each.uid for each in stale}
    return {uid: each for uid, each in own.items() if uid not in gone}, stale


def _applied(
    manifest: Manifest, own: Mapping[str, Decision], path: Path
) -> tuple[Manifest, np.ndarray]:
    """The manifest with labels and columns changed, and which rows stay, (N,) bool."""
    ids, splits = manifest.column("id"), manifest.column("split")
    labels, kept = manifest.labels.copy(), np.ones(len(manifest), bool)
    verdicts: list[str | None] = [None] * len(manifest)
    sources = _sources(manifest)
    for row in np.flatnonzero(np.isin(ids, list(own))) if own else ():
        each = own[ids[row]]
        verdicts[row] = each.verdict
        if (label := _label(each)) is not None:
            labels[row] = check_class(label, each, manifest.classes, path)
        if each.verdict in ("ok", "relabel"):
            sources[row] = f"{HUMAN}:{each.by}"
        kept[row] = each.verdict != "drop"
        kept[row] &= not (each.verdict == "too_hard" and splits[row] == "train")
    table = manifest.table
    table = _with(table, "label", pa.array(labels, pa.int64()))
    table = _with(table, "label_source", pa.array(sources, pa.string()))
    table = _with(table, "verdict", pa.array(verdicts, pa.string()))
    return Manifest(table, manifest.classes), kept


def _soft_labels(
    manifest: Manifest, said: Mapping[str, Mapping[str, Decision]], path: Path
) -> list[list[float] | None]:
    """Distribution (K,) of each row, None where there is none."""
    ids, classes = manifest.column("id"), manifest.classes
    found: list[list[float] | None] = [None] * len(manifest)
    for row in np.flatnonzero(np.isin(ids, list(said))) if said else ():
        votes = said[ids[row]]
        if (named := shares(votes, classes[manifest.labels[row]])) is None:
            continue
        by_class, newest_word = [0.0] * len(classes), list(votes.values())[-1]
        for name, share in named.items():
            by_class[check_class(name, newest_word, classes, path)] = share
        found[row] = by_class
    return found


def _with_soft(manifest: Manifest, soft: list[list[float] | None]) -> Manifest:
    if not any(soft):
        return manifest
    column = pa.array(soft, pa.list_(pa.float64()))
    return Manifest(_with(manifest.table, SOFT, column), manifest.classes)


def _sources(manifest: Manifest) -> list[str]:
    """Where each label comes from, as the source tells it."""
    if "label_source" not in manifest.table.column_names:
        return [GIVEN] * len(manifest)
    return [str(each) if each else GIVEN for each in manifest.column("label_source")]


def _with(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    place = table.schema.get_field_index(name)
    if place < 0:
        return table.append_column(name, values)
    return table.set_column(place, name, values)


def _label(each: Decision) -> str | None:
    """The class that a person gave: of copies with several labels, the one that was found right."""
    return each.label if each.verdict == "relabel" else each.was if each.verdict == "ok" else None


def _told(
    path: Path,
    chosen: Mapping[str, Decision],
    own: Mapping[str, Decision],
    stale: list[Decision],
    torn: set[str],
) -> list[Problem]:
    """What was done, and what a person should know."""
    counts = Counter(each.verdict for each in own.values())
    words = ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items())) or "none"
    others = len(chosen) - len(own) - len(stale)
    elsewhere = f"; {others} about images that aren't in this data" if others else ""
    found = [Problem("overlay", str(path), f"decisions: {words}{elsewhere}")]
    if stale:
        what = (
            f"{len(stale)} labels were found right that the data has changed since, first line "
            f"{stale[0].line}; these decisions don't count: review the images again"
        )
        found.append(Problem("stale_decision", str(path), what))
    if torn:
        what = (
            f"reviewers disagree about {len(torn)} images, first sha256:{min(torn)}; the newest "
            "word counts until one settles it"
        )
        found.append(Problem("reviewers_disagree", str(path), what))
    return found
