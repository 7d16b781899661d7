"""Labels that nobody looked at: kept where an audit bounds their error, and marked as such.

Accepted labels go into a `metadata.csv` with the column `label_source`, always of the training
split; what lies between goes into a queue, with a random share of the accepted to check them.
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
from tinyrefinery.auto_label.labellers import Labeller, with_manifest_of
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.data.overlay.decisions import AUTO, Decision, newest_by_image, valid_decisions
from tinyrefinery.errors import DataError
from tinyrefinery.files import atomic_file, write_atomic, write_csv
from tinyrefinery.random import integer
from tinyrefinery.review.error_rate import LabelError, label_error
from tinyrefinery.review.queue import Item, Queue, top_classes, write_queue
from tinyrefinery.review.queue_pictures import folder_source

AUDIT = "audit"


@dataclass(frozen=True)
class Limits:
    """When a label is accepted."""

    precision: float = 0.98
    """That each class must keep, by the lower end of the interval on audited images."""
    least: int = 100
    """Audited images that a class takes."""
    reject_below: float = 0.0
    """Probability below which an image is taken to show no class."""
    audit: float = 0.03
    """Share of the accepted that people check."""
    seed: int = 0
    """Of that share."""


@dataclass(frozen=True)
class AutoLabels:
    """What became of the images of a folder."""

    dataset: Dataset = field(repr=False)
    """Under the labeller's classes; its labels mean nothing."""
    labeller: str
    probabilities: np.ndarray = field(repr=False)
    """(N, K)."""
    thresholds: tuple[Threshold, ...]
    bands: Bands = field(repr=False)
    audited: np.ndarray = field(repr=False)
    """Accepted rows that people check."""
    error: LabelError | None = None
    """Of the accepted, by what people said of those; None: nobody did yet."""

    def counts(self) -> dict[str, int]:
        """Images of each band."""
        return {band: len(self.bands.rows(band)) for band in (ACCEPT, REVIEW, REJECT)}


def auto_label(
    labeller: Labeller,
    images: Dataset,
    gold: Dataset,
    gold_rows: np.ndarray,
    limits: Limits,
    decisions: Sequence[Decision] = (),
) -> AutoLabels:
    """Label images.

    Args:
        labeller: gives probabilities.
        images: to label; what labels it has are not looked at.
        gold: images that people labelled, none of which the labeller was trained on.
        gold_rows: which of them count.
        limits: when a label is accepted.
        decisions: what people said of accepted ones before.

    Raises:
        DataError: when an image stands in both, or a class of the gold is unknown to the labeller.
    """
    known = with_manifest_of(gold, labeller.classes)
    shared = set(images.manifest.column("id")) & set(gold.manifest.column("id")[gold_rows])
    if shared:
        raise DataError(
            f"{len(shared)} of the images to label are among the audited ones, first "
            f"sha256:{min(shared)}; label others"
        )
    thresholds = choose_thresholds(
        labeller(known, gold_rows),
        known.manifest.labels[gold_rows],
        labeller.classes,
        precision=limits.precision,
        least=limits.least,
    )
    probabilities = labeller(images, np.arange(len(images.manifest)))
    bands = into_bands(probabilities, thresholds, limits.reject_below)
    audited = _drawn(images, bands.rows(ACCEPT), limits)
    labelled = _classes(images, bands, labeller.classes)
    made = AutoLabels(labelled, labeller.name, probabilities, tuple(thresholds), bands, audited)
    return replace(made, error=_checked(made, decisions))


def _classes(images: Dataset, bands: Bands, classes: tuple[str, ...]) -> Dataset:
    """The images with what they are called as label."""
    place = images.manifest.table.schema.get_field_index("label")
    column = pa.array(bands.called, pa.int64())
    table = images.manifest.table.set_column(place, "label", column)
    return replace(images, manifest=Manifest(table, classes), truth=None)


def _drawn(images: Dataset, accepted: np.ndarray, limits: Limits) -> np.ndarray:
    """The share of the accepted that is checked.

    Each image's chance is its own, by identity: with more images, those drawn before stay drawn,
    so that checks add up over runs.
    """
    ids = images.manifest.column("id")[accepted]
    draws = [integer(limits.seed, AUDIT, str(each)) / 2**63 for each in ids]
    return accepted[np.array(draws) < limits.audit]


def _checked(made: AutoLabels, decisions: Sequence[Decision]) -> LabelError | None:
    """The error of accepted labels, by decisions about those that were drawn to be checked.

    An image whose label is another one now, or that isn't accepted any more, doesn't count.
    """
    manifest = made.dataset.manifest
    names = np.array(manifest.classes, object)[manifest.labels]
    now = {str(manifest.column("id")[row]): names[row] for row in made.audited}
    # Undone words go first: an undo doesn't say of which label it speaks.
    return label_error(
        [each for each in valid_decisions(decisions) if now.get(each.uid) == each.was], AUDIT
    )


def save_auto_labels(out: Path, made: AutoLabels, queue: Queue, said: Sequence[Decision]) -> None:
    """Write `metadata.csv`, `queue.jsonl`, `rejected.txt`, `probabilities.parquet`, `label.json`.

    Args:
        out: folder.
        made: the labels.
        queue: as `queue_of` makes it.
        said: decisions; what people labelled goes into the metadata too.

    Raises:
        StorageError: when it can't be written.
    """
    manifest = made.dataset.manifest
    paths, ids = manifest.column("path"), manifest.column("id")
    columns = ["file_name", "label", "split", "label_source"]
    write_csv(out / "metadata.csv", columns, _metadata(out, made, said))
    write_queue(out / "queue.jsonl", queue)
    rejected = "".join(f"{paths[row]}\n" for row in made.bands.rows(REJECT))
    write_atomic(out / "rejected.txt", rejected)
    columns = {
        "id": pa.array(ids.tolist(), pa.string()),
        "path": pa.array(paths.tolist(), pa.string()),
        "probabilities": pa.array(made.probabilities.tolist(), pa.list_(pa.float32())),
    }
    facts = {"classes": json.dumps(manifest.classes, ensure_ascii=False)}
    with atomic_file(out / "probabilities.parquet") as aside:
        pq.write_table(pa.table(columns, metadata=facts), aside)
    content = {
        "labeller": made.labeller,
        "counts": made.counts(),
        "audit": len(made.audited),
        "error": None if made.error is None else asdict(made.error),
        "thresholds": [asdict(each) for each in made.thresholds],
    }
    write_atomic(out / "label.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _metadata(out: Path, made: AutoLabels, said: Sequence[Decision]) -> list[list[str]]:
    """Lines of accepted images and of those that people labelled; paths as seen from `out`."""
    manifest, people = made.dataset.manifest, newest_by_image(said)
    lines = []
    for row in range(len(manifest)):
        each = people.get(str(manifest.column("id")[row]))
        label, source = manifest.classes[manifest.labels[row]], ""
        if each is not None and each.verdict in ("ok", "relabel"):
            label = each.label if each.verdict == "relabel" else each.was
            source = f"human:{each.by}"
        elif each is None and made.bands.band[row] == ACCEPT:
            source = f"{AUTO}{made.labeller}@{made.bands.sure[row]:.3f}"
        if source and label:
            path = os.path.relpath(str(manifest.column("path")[row]), out)
            lines.append([path.replace(os.sep, "/"), label, "train", source])
    return lines


def queue_of(made: AutoLabels, root: Path, labeller: Labeller, said: Sequence[Decision]) -> Queue:
    """What people look at: the middle band, and the accepted that were drawn; not again.

    Args:
        made: the labels.
        root: folder of the images.
        labeller: for the size that networks see.
        said: decisions; images that have one are left out.
    """
    done = newest_by_image(said)
    drawn = [_item(made, int(row), AUDIT) for row in made.audited]
    between = made.bands.rows(REVIEW)
    between = between[np.argsort(-made.bands.sure[between], kind="stable")]
    items = [*drawn, *(_item(made, int(row), "auto_label") for row in between)]
    kept = {each.uid: each for each in reversed(items) if each.uid not in done}
    items = list(reversed(kept.values()))
    told = "\n".join([made.labeller, *(each.uid for each in items)])
    return Queue(
        name=f"a-{sha256(told.encode()).hexdigest()[:8]}",
        data=(folder_source(root),),
        classes=labeller.classes,
        channels=labeller.channels,
        size=labeller.size,
        items=tuple(items),
        run=made.labeller,
        budget=len(items),
        population=made.counts()[ACCEPT],
    )


def _item(made: AutoLabels, row: int, reason: str) -> Item:
    manifest = made.dataset.manifest
    name, sure = manifest.classes[made.bands.called[row]], made.bands.sure[row]
    why = f"{made.labeller} says {name} at {sure:.3f}"
    why += ", accepted; drawn to be checked" if reason == AUDIT else ", which is not enough"
    return Item(
        uid=str(manifest.column("id")[row]),
        file_name=str(manifest.column("path")[row]),
        reason=reason,
        why=why,
        score=round(float(sure), 6),
        given=name if reason == AUDIT else None,
        split="train",
        suggest=name,
        network=top_classes(manifest.classes, made.probabilities[row]),
    )
