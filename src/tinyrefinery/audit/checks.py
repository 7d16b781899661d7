"""The audit: every check of a data set, one after the other, as a list of findings.

What needs a network is left out where there is none, and said so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from tinyrefinery.audit.association import Column
from tinyrefinery.audit.balance import cell_findings, class_findings
from tinyrefinery.audit.columns import metadata_columns, property_columns
from tinyrefinery.audit.duplicates import copies_findings, find_copies
from tinyrefinery.audit.evidence import Evidence
from tinyrefinery.audit.finding import Finding, problem_findings, worst_first
from tinyrefinery.audit.fingerprints import Fingerprints, fingerprint
from tinyrefinery.audit.label_errors import suspect_findings
from tinyrefinery.audit.outliers import outlier_findings
from tinyrefinery.audit.shortcut_findings import (
    Elsewhere,
    Judged,
    floor_note,
    shift_findings,
    shortcut_findings,
)
from tinyrefinery.audit.shortcuts import find_shortcuts
from tinyrefinery.audit.unrecognizable import Hardness, too_hard_findings
from tinyrefinery.data.check import groups_across_splits
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.properties.measure import (
    chunk_properties,
    image_properties,
    properties_table,
)
from tinyrefinery.data.properties.small_images import Chunk, map_chunks
from tinyrefinery.errors import DataError
from tinyrefinery.names import did_you_mean


@dataclass(frozen=True)
class Audit:
    """What was found, what was not looked at, and on what it all rests."""

    findings: tuple[Finding, ...]
    """The worst first."""
    skipped: Mapping[str, str]
    """Checks that were left out, and why."""
    notes: tuple[str, ...]
    """What a reader of the findings should know."""
    properties: pa.Table = field(repr=False)
    """Of every image, as `image_properties` gives them."""

    def fails(self, also: Sequence[str] = ()) -> bool:
        """Whether there is an error, or any open finding of the kinds `also`."""
        return any(
            each.severity == "error" or (each.kind in also and each.severity != "accepted")
            for each in self.findings
        )


def audit(
    dataset: Dataset,
    *,
    evidence: Evidence | None = None,
    reference: Dataset | None = None,
    accepted: Mapping[tuple[str, str], str] | None = None,
    group: str | None = None,
    hard: tuple[Hardness, tuple[int, int]] | None = None,
    mend: str = "leave out what stands in {}",
) -> Audit:
    """Check a data set.

    Args:
        dataset: all its splits.
        evidence: what networks left behind about it.
        reference: images as the device sees them; with the same classes, labels are compared too.
        accepted: associations that were judged to be part of the task.
        group: column whose values must not share images or splits.
        hard: what a refiner said of the images, and the small network's input size.
        mend: how a list of rows is left out, with `{}` for its file.

    Raises:
        ChangedImageError: when an image can no longer be read.
        DataError: when `accepted` names a column that isn't there, or the evidence other classes.
    """
    rows = np.arange(len(dataset.manifest))
    properties, prints = _looked_at(dataset, rows)
    columns = property_columns(properties)
    findings = problem_findings(_with_torn_groups(dataset, group), mend)
    findings += copies_findings(dataset, find_copies(dataset, prints), group, mend)
    findings += class_findings(dataset)
    findings += outlier_findings(dataset, columns)
    skipped: dict[str, str] = {}
    more, notes = _associations(dataset, columns, evidence, reference, accepted or {}, skipped)
    findings += more
    if evidence is None or evidence.dynamics is None:
        skipped["suspect"] = "no training was recorded; audit a run folder"
    else:
        findings += suspect_findings(dataset, evidence)
    if hard is None:
        skipped["too_hard"] = "needs a network that sees images large: --refiner, --input-size"
    else:
        findings += too_hard_findings(dataset, *hard, mend)
    if group is None:
        notes.append("no group column: whether groups are split apart was not looked at")
    return Audit(tuple(worst_first(findings)), skipped, tuple(notes), properties)


def _with_torn_groups(dataset: Dataset, group: str | None) -> Dataset:
    """The data set with a problem for each group in several splits, told once."""
    kinds = {problem.kind for problem in dataset.problems}
    if group is None or "group_across_splits" in kinds:
        return dataset
    torn = groups_across_splits(dataset.manifest, group)
    return replace(dataset, problems=(*dataset.problems, *torn))


def _looked_at(dataset: Dataset, rows: np.ndarray) -> tuple[pa.Table, Fingerprints]:
    """Properties and fingerprints from one decoding of each image."""

    def work(chunk: Chunk) -> tuple[dict, Fingerprints]:
        """Both of a chunk."""
        return chunk_properties(dataset, chunk), fingerprint(chunk)

    parts = list(map_chunks(dataset, rows, work))
    table = properties_table(dataset, rows, (told for told, _ in parts))
    return table, Fingerprints.joined([each for _, each in parts])


def _associations(
    dataset: Dataset,
    columns: Sequence[Column],
    evidence: Evidence | None,
    reference: Dataset | None,
    accepted: Mapping[tuple[str, str], str],
    skipped: dict[str, str],
) -> tuple[list[Finding], list[str]]:
    """Shortcuts in training, cells, and shifts between training, test and reference."""
    names = [column.name for column in columns]
    train = dataset.manifest.rows("train")
    labels = dataset.manifest.labels
    metadata, passed_over = metadata_columns(dataset, np.arange(len(labels)), names)
    everything = [*columns, *metadata]
    here = _of(everything, train)
    _check_accepted(accepted, [column.name for column in everything])
    shortcuts, found = find_shortcuts(here, labels[train], dataset.classes, accepted)
    judged = _judged(dataset, everything, evidence)
    if judged is None:
        skipped["use of shortcuts"] = "no predictions; audit a run folder, or give --model"
    elsewhere, theirs = _elsewhere(dataset, reference)
    findings = shortcut_findings(dataset, train, here, shortcuts, judged, elsewhere)
    findings += cell_findings(_of(metadata, train), labels[train], dataset.classes)
    test = dataset.manifest.rows("test")
    if len(test):
        findings += _shift(here, _of(everything, test), "train", "test")
    if reference is None:
        skipped["shift to the device"] = "no images of the device; give --reference"
    else:
        findings += _shift(here, theirs, "train", "reference")
    notes = [floor_note(found)]
    notes += [
        f"column '{name}' {why}: not held against the label" for name, why in passed_over.items()
    ]
    return findings, notes


def _check_accepted(accepted: Mapping[tuple[str, str], str], known: Sequence[str]) -> None:
    """Refuse an accept list that names what isn't there: it would accept nothing, silently."""
    for name, _ in accepted:
        if name not in known:
            raise DataError(
                f"accept list: no property or column '{name}'.{did_you_mean(name, known)} "
                f"There are: {', '.join(known)}"
            )


def _of(columns: Sequence[Column], rows: np.ndarray) -> list[Column]:
    return [Column(column.name, column.values[rows]) for column in columns]


def _judged(
    dataset: Dataset, columns: Sequence[Column], evidence: Evidence | None
) -> Judged | None:
    if evidence is None or evidence.predictions is None:
        return None
    rows, predicted = evidence.answers(dataset)
    if not len(rows):
        return None
    labels = dataset.manifest.labels[rows]
    return Judged(_of(columns, rows), rows, labels, predicted, evidence.title)


def _elsewhere(
    dataset: Dataset, reference: Dataset | None
) -> tuple[Elsewhere | None, list[Column]]:
    """The reference images' columns, and with the labels where they have the same classes."""
    if reference is None:
        return None, []
    rows = np.arange(len(reference.manifest))
    columns = property_columns(image_properties(reference, rows))
    names = [column.name for column in columns]
    columns += metadata_columns(reference, rows, names)[0]
    if not set(reference.classes) <= set(dataset.classes):
        return None, columns
    labels = reference.manifest.with_classes(dataset.classes).labels
    return Elsewhere(columns, labels), columns


def _shift(here: Sequence[Column], there: Sequence[Column], name: str, other: str) -> list[Finding]:
    """What tells two sets of images apart."""
    theirs = {column.name: column for column in there}
    both = [
        Column(column.name, np.concatenate([column.values, theirs[column.name].values]))
        for column in here
        if column.name in theirs and theirs[column.name].is_number == column.is_number
    ]
    if not both:
        return []
    n, m = len(here[0].values), len(there[0].values)
    domain = np.repeat([0, 1], [n, m])
    shortcuts, _ = find_shortcuts(both, domain, (name, other))
    return shift_findings(shortcuts, name, other)
