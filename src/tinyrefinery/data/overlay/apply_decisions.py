"""Apply review decisions to a dataset when it is opened, without changing its files."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from tinyrefinery.data.dataset import Dataset, Problem
from tinyrefinery.data.manifest import SOFT, Manifest
from tinyrefinery.data.overlay.additions import check_class, with_additions
from tinyrefinery.data.overlay.decisions import (
    Decision,
    disagreements,
    newest_additions,
    newest_by_image,
    read_decisions,
)
from tinyrefinery.data.overlay.votes import latest_votes, soft_label
from tinyrefinery.errors import DataError
from tinyrefinery.options.sources import Ambiguous

GIVEN, HUMAN = "given", "human"


def with_overlay(dataset: Dataset, path: Path, ambiguous: Ambiguous = "soft") -> Dataset:
    """Apply the decisions of an overlay to a dataset.

    `relabel` changes the label. `drop` removes the image. `too_hard` removes it from training only.
    `ok`, `ambiguous` and `too_hard` mark it. The manifest gets the columns `label_source`
    (`human:NAME` for reviewed images, else the source's value or `given`) and `verdict` (null for
    images without a decision). A decision applies to all copies of an image.

    Images that are ambiguous or that reviewers disagree about get a soft label in the column
    `soft_label`, if their votes name several classes (see `votes`). Images that the overlay adds
    are added to training first (see `additions`).

    Args:
        dataset: from its source.
        path: the overlay.
        ambiguous: `soft`: as above; `given`: without soft labels; `drop`: images that would have
            one, or are ambiguous, are removed from training only.

    Raises:
        DataError: if the file can't be read, has a class that the data lacks, has no decision about
            an image of the data, or leaves no training image.
    """
    lines = read_decisions(path)
    by_uid = newest_by_image(lines)
    dataset = with_additions(dataset, path, lines)
    ids = set(dataset.manifest.column("id"))
    matching = {uid: decision for uid, decision in by_uid.items() if uid in ids}
    if by_uid and not matching and not newest_additions(lines):
        raise DataError(
            f"{path}: none of its {len(by_uid)} decisions is about an image of "
            f"'{dataset.name}'. Is it the overlay of another dataset?"
        )
    current, stale = _split_stale(dataset, matching)
    manifest, kept = _apply_decisions(dataset.manifest, current, path)
    soft = _soft_labels(manifest, latest_votes(lines), path)
    if ambiguous == "soft":
        manifest = _with_soft(manifest, soft)
    elif ambiguous == "drop":
        unclear = np.array([label is not None for label in soft], bool)
        unclear |= manifest.column("verdict") == "ambiguous"
        kept &= ~(unclear & (manifest.column("split") == "train"))
    disputed = {uid for uid in disagreements(lines) if uid in ids}
    others = len(by_uid) - len(matching)
    problems = (*dataset.problems, *_problems(path, current, others, stale, disputed))
    dataset = replace(dataset, manifest=manifest, problems=problems)
    if kept.all():
        return dataset
    if not (kept & (manifest.column("split") == "train")).any():
        raise DataError(f"{path}: its decisions leave no training image of '{dataset.name}'")
    return dataset.select(np.flatnonzero(kept))


def _split_stale(
    dataset: Dataset, decisions: Mapping[str, Decision]
) -> tuple[dict[str, Decision], list[Decision]]:
    """Valid decisions by uid, and stale ones: an `ok` for a label that has changed since."""
    labels = np.array(dataset.classes, object)[dataset.manifest.labels]
    labeled = set(zip(dataset.manifest.column("id"), labels, strict=True))
    stale = [
        decision
        for uid, decision in decisions.items()
        if decision.verdict == "ok"
        and decision.was is not None
        and (uid, decision.was) not in labeled
    ]
    stale_uids = {decision.uid for decision in stale}
    valid = {uid: decision for uid, decision in decisions.items() if uid not in stale_uids}
    return valid, stale


def _apply_decisions(
    manifest: Manifest, decisions: Mapping[str, Decision], path: Path
) -> tuple[Manifest, np.ndarray]:
    """The manifest with new labels and columns, and the rows to keep, (N,) bool."""
    ids, splits = manifest.column("id"), manifest.column("split")
    labels, kept = manifest.labels.copy(), np.ones(len(manifest), bool)
    verdicts: list[str | None] = [None] * len(manifest)
    sources = _sources(manifest)
    for row in np.flatnonzero(np.isin(ids, list(decisions))) if decisions else ():
        decision = decisions[ids[row]]
        verdicts[row] = decision.verdict
        if (label := _label(decision)) is not None:
            labels[row] = check_class(label, decision, manifest.classes, path)
        if decision.verdict in ("ok", "relabel"):
            sources[row] = f"{HUMAN}:{decision.by}"
        kept[row] = decision.verdict != "drop"
        kept[row] &= not (decision.verdict == "too_hard" and splits[row] == "train")
    table = manifest.table
    table = _with(table, "label", pa.array(labels, pa.int64()))
    table = _with(table, "label_source", pa.array(sources, pa.string()))
    table = _with(table, "verdict", pa.array(verdicts, pa.string()))
    return Manifest(table, manifest.classes), kept


def _soft_labels(
    manifest: Manifest, votes: Mapping[str, Mapping[str, Decision]], path: Path
) -> list[list[float] | None]:
    """Soft label (K,) of each row, or None."""
    ids, classes = manifest.column("id"), manifest.classes
    soft: list[list[float] | None] = [None] * len(manifest)
    for row in np.flatnonzero(np.isin(ids, list(votes))) if votes else ():
        by_reviewer = votes[ids[row]]
        by_name = soft_label(by_reviewer, classes[manifest.labels[row]])
        if by_name is None:
            continue
        label, newest_vote = [0.0] * len(classes), list(by_reviewer.values())[-1]
        for name, share in by_name.items():
            label[check_class(name, newest_vote, classes, path)] = share
        soft[row] = label
    return soft


def _with_soft(manifest: Manifest, soft: list[list[float] | None]) -> Manifest:
    if not any(soft):
        return manifest
    column = pa.array(soft, pa.list_(pa.float64()))
    return Manifest(_with(manifest.table, SOFT, column), manifest.classes)


def _sources(manifest: Manifest) -> list[str]:
    """Source of each label, from the data or `GIVEN`."""
    if "label_source" not in manifest.table.column_names:
        return [GIVEN] * len(manifest)
    return [str(source) if source else GIVEN for source in manifest.column("label_source")]


def _with(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    """The table with a column added or replaced."""
    index = table.schema.get_field_index(name)
    if index < 0:
        return table.append_column(name, values)
    return table.set_column(index, name, values)


def _label(decision: Decision) -> str | None:
    """The class that the decision confirms or sets. Copies with other labels get it too."""
    return {"relabel": decision.label, "ok": decision.was}.get(decision.verdict)


def _problems(
    path: Path,
    decisions: Mapping[str, Decision],
    others: int,
    stale: list[Decision],
    disputed: set[str],
) -> list[Problem]:
    """A summary of the decisions, and a problem each for stale and disputed ones."""
    counts = Counter(decision.verdict for decision in decisions.values())
    summary = ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items())) or "none"
    summary += f"; {others} about images that aren't in this data" if others else ""
    problems = [Problem("overlay", str(path), f"decisions: {summary}")]
    if stale:
        what = (
            f"{len(stale)} labels were confirmed but have changed since, first line "
            f"{stale[0].line}; these decisions are ignored: review the images again"
        )
        problems.append(Problem("stale_decision", str(path), what))
    if disputed:
        what = (
            f"reviewers disagree about {len(disputed)} images, first sha256:{min(disputed)}; the "
            "newest decision counts until one settles it"
        )
        problems.append(Problem("reviewers_disagree", str(path), what))
    return problems
