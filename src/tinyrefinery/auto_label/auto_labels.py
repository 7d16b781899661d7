"""Auto-labels: predicted labels, accepted where audited images bound their error.

Accepted labels go into a `metadata.csv`, marked by the column `label_source` and always in the
training split. Less confident ones go into a review queue, with a random share of the accepted ones
for a check.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tinyrefinery.auto_label.bands import (
    ACCEPT,
    REJECT,
    REVIEW,
    Bands,
    Threshold,
    choose_thresholds,
    into_bands,
)
from tinyrefinery.auto_label.labelers import Labeler, with_manifest_of
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.data.overlay.decisions import AUTO, Decision, newest_by_image, valid_decisions
from tinyrefinery.errors import DataError
from tinyrefinery.files import atomic_file, remove_half_written, write_atomic, write_csv
from tinyrefinery.random import integer
from tinyrefinery.review.error_rate import LabelError, label_error
from tinyrefinery.review.queue import Item, Queue, top_classes, write_queue
from tinyrefinery.review.queue_pictures import folder_source

AUDIT = "audit"


@dataclass(frozen=True)
class Limits:
    """Conditions for accepting a label."""

    precision: float = 0.98
    """Lower bound of the precision that each class must keep on audited images."""
    least: int = 100
    """Smallest number of audited images per class."""
    reject_below: float = 0.0
    """Images with a lower highest probability show no class."""
    audit: float = 0.03
    """Share of the accepted labels that people check."""
    seed: int = 0
    """Seed for drawing that share."""


@dataclass(frozen=True)
class AutoLabels:
    """Auto-labels of N images."""

    dataset: Dataset = field(repr=False)
    """The images, with the predicted classes as labels."""
    labeler: str
    """Name of the labeler."""
    probabilities: np.ndarray = field(repr=False)
    """(N, K)."""
    thresholds: tuple[Threshold, ...]
    bands: Bands = field(repr=False)
    audited: np.ndarray = field(repr=False)
    """Accepted rows that people check."""
    error: LabelError | None = None
    """Error rate of the accepted labels by these checks, or None without any check."""

    def counts(self) -> dict[str, int]:
        """Number of images per band."""
        return {band: len(self.bands.rows(band)) for band in (ACCEPT, REVIEW, REJECT)}


def auto_label(
    labeler: Labeler,
    images: Dataset,
    gold: Dataset,
    gold_rows: np.ndarray,
    limits: Limits,
    decisions: Sequence[Decision] = (),
) -> AutoLabels:
    """Label images.

    Args:
        labeler: predicts probabilities.
        images: the images to label. Their labels are ignored.
        gold: human-labeled images that the labeler was not trained on.
        gold_rows: rows of `gold` to use.
        limits: conditions for accepting a label.
        decisions: earlier decisions of people on accepted labels.

    Raises:
        DataError: when `images` and `gold` share an image, or `gold` has a class that the labeler
            does not predict.
    """
    gold = with_manifest_of(gold, labeler.classes)
    shared = set(images.manifest.column("id")) & set(gold.manifest.column("id")[gold_rows])
    if shared:
        paths = images.manifest.column("path")[np.isin(images.manifest.column("id"), [*shared])]
        raise DataError(
            f"{len(shared)} of the images to label are also used for the audit, first "
            f"{paths[0]}: remove them from one of the two"
        )
    thresholds = choose_thresholds(
        labeler(gold, gold_rows),
        gold.manifest.labels[gold_rows],
        labeler.classes,
        precision=limits.precision,
        least=limits.least,
    )
    probabilities = labeler(images, np.arange(len(images.manifest)))
    bands = into_bands(probabilities, thresholds, limits.reject_below)
    audited = _draw_audit(images, bands.rows(ACCEPT), limits)
    labeled = _with_predictions(images, bands, labeler.classes)
    labels = AutoLabels(labeled, labeler.name, probabilities, tuple(thresholds), bands, audited)
    return replace(labels, error=_audit_error(labels, decisions))


def _with_predictions(images: Dataset, bands: Bands, classes: tuple[str, ...]) -> Dataset:
    """The images with the predicted classes as labels."""
    place = images.manifest.table.schema.get_field_index("label")
    column = pa.array(bands.predicted, pa.int64())
    table = images.manifest.table.set_column(place, "label", column)
    return replace(images, manifest=Manifest(table, classes), truth=None)


def _draw_audit(images: Dataset, accepted: np.ndarray, limits: Limits) -> np.ndarray:
    """Draw the accepted rows that people check.

    The draw depends only on each image's identity. If images are added, those drawn before stay
    drawn, so checks accumulate over runs.
    """
    ids = images.manifest.column("id")[accepted]
    draws = [integer(limits.seed, AUDIT, str(identity)) / 2**63 for identity in ids]
    return accepted[np.array(draws) < limits.audit]


def _audit_error(labels: AutoLabels, decisions: Sequence[Decision]) -> LabelError | None:
    """Error rate of the accepted labels, from decisions on the images drawn for a check.

    Images with a different label now, or no longer accepted, do not count.
    """
    manifest = labels.dataset.manifest
    names = np.array(manifest.classes, object)[manifest.labels]
    current = {str(manifest.column("id")[row]): names[row] for row in labels.audited}
    # Remove undone decisions first, because an undo does not record the label.
    checks = [d for d in valid_decisions(decisions) if current.get(d.uid) == d.was]
    return label_error(checks, AUDIT)


def save_auto_labels(
    out: Path, labels: AutoLabels, queue: Queue, decisions: Sequence[Decision]
) -> None:
    """Write `metadata.csv`, `queue.jsonl`, `rejected.txt`, `probabilities.parquet`, `label.json`.

    Args:
        out: folder for the files.
        labels: the labels.
        queue: the review queue, see `queue_of`.
        decisions: people's decisions. Labels that people gave go into the metadata too.

    Raises:
        StorageError: when a file is not writable.
    """
    remove_half_written(folders=[out])
    manifest = labels.dataset.manifest
    paths, ids = manifest.column("path"), manifest.column("id")
    columns = ["file_name", "label", "split", "label_source"]
    write_csv(out / "metadata.csv", columns, _metadata(out, labels, decisions))
    write_queue(out / "queue.jsonl", queue)
    rejected = "".join(f"{paths[row]}\n" for row in labels.bands.rows(REJECT))
    write_atomic(out / "rejected.txt", rejected)
    columns = {
        "id": pa.array(ids.tolist(), pa.string()),
        "path": pa.array(paths.tolist(), pa.string()),
        "probabilities": pa.array(labels.probabilities.tolist(), pa.list_(pa.float32())),
    }
    facts = {"classes": json.dumps(manifest.classes, ensure_ascii=False)}
    with atomic_file(out / "probabilities.parquet") as temporary:
        pq.write_table(pa.table(columns, metadata=facts), temporary)
    content = {
        "labeler": labels.labeler,
        "counts": labels.counts(),
        "audit": len(labels.audited),
        "error": None if labels.error is None else asdict(labels.error),
        "thresholds": [asdict(threshold) for threshold in labels.thresholds],
    }
    write_atomic(out / "label.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _metadata(out: Path, labels: AutoLabels, decisions: Sequence[Decision]) -> list[list[str]]:
    """One line per accepted or human-labeled image. Paths are relative to `out`."""
    manifest, human = labels.dataset.manifest, newest_by_image(decisions)
    lines = []
    for row in range(len(manifest)):
        decision = human.get(str(manifest.column("id")[row]))
        label, source = manifest.classes[manifest.labels[row]], ""
        if decision is not None and decision.verdict in ("ok", "relabel"):
            label = decision.label if decision.verdict == "relabel" else decision.was
            source = f"human:{decision.by}"
        elif decision is None and labels.bands.band[row] == ACCEPT:
            source = f"{AUTO}{labels.labeler}@{labels.bands.probability[row]:.3f}"
        if source and label:
            path = os.path.relpath(str(manifest.column("path")[row]), out)
            lines.append([path.replace(os.sep, "/"), label, "train", source])
    return lines


def queue_of(
    labels: AutoLabels, root: Path, labeler: Labeler, decisions: Sequence[Decision]
) -> Queue:
    """The images to review: those drawn for a check, then the middle band, most confident first.

    Args:
        labels: the labels.
        root: folder of the images.
        labeler: gives the input size to show.
        decisions: images with a decision are left out.
    """
    done = newest_by_image(decisions)
    checks = [_item(labels, int(row), AUDIT) for row in labels.audited]
    middle = labels.bands.rows(REVIEW)
    middle = middle[np.argsort(-labels.bands.probability[middle], kind="stable")]
    items = [*checks, *(_item(labels, int(row), "auto_label") for row in middle)]
    unique = {item.uid: item for item in reversed(items) if item.uid not in done}
    items = list(reversed(unique.values()))
    content = "\n".join([labels.labeler, *(item.uid for item in items)])
    return Queue(
        name=f"a-{sha256(content.encode()).hexdigest()[:8]}",
        data=(folder_source(root),),
        classes=labeler.classes,
        channels=labeler.channels,
        size=labeler.size,
        items=tuple(items),
        run=labels.labeler,
        budget=len(items),
        population=labels.counts()[ACCEPT],
    )


def _item(labels: AutoLabels, row: int, reason: str) -> Item:
    manifest, bands = labels.dataset.manifest, labels.bands
    name, probability = manifest.classes[bands.predicted[row]], bands.probability[row]
    why = f"{labels.labeler} predicts {name} ({probability:.3f}), "
    why += "accepted, drawn for a check" if reason == AUDIT else "not confident enough to accept"
    return Item(
        uid=str(manifest.column("id")[row]),
        file_name=str(manifest.column("path")[row]),
        reason=reason,
        why=why,
        score=round(float(probability), 6),
        given=name if reason == AUDIT else None,
        split="train",
        suggest=name,
        network=top_classes(manifest.classes, labels.probabilities[row]),
    )
