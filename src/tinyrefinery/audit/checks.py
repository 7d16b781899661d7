"""The audit: runs all checks of a dataset and returns a list of findings.

Checks that need a network are skipped if there is none, and listed as skipped.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tinyrefinery.audit.association import Column
from tinyrefinery.audit.balance import cell_findings, class_findings
from tinyrefinery.audit.columns import metadata_columns, property_columns
from tinyrefinery.audit.copy_findings import copy_findings
from tinyrefinery.audit.evidence import Evidence
from tinyrefinery.audit.finding import Finding, problem_findings, worst_first
from tinyrefinery.audit.label_errors import suspect_findings
from tinyrefinery.audit.outliers import outlier_findings
from tinyrefinery.audit.shortcut_findings import (
    PredictedImages,
    ReferenceImages,
    floor_note,
    shift_findings,
    shortcut_findings,
)
from tinyrefinery.audit.shortcuts import find_shortcuts
from tinyrefinery.data.copies.find_copies import find_copies
from tinyrefinery.data.copies.fingerprints import Fingerprints, fingerprint
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.opening_checks import groups_across_splits
from tinyrefinery.data.properties.measure import (
    chunk_properties,
    image_properties,
    properties_table,
)
from tinyrefinery.data.properties.small_images import Chunk, map_chunks
from tinyrefinery.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from tinyrefinery.audit.unrecognizable import Hardness


@dataclass(frozen=True)
class Audit:
    """The result of an audit."""

    findings: tuple[Finding, ...]
    """The worst first."""
    skipped: Mapping[str, str]
    """Reason for each check that was skipped."""
    notes: tuple[str, ...]
    """Further lines for the reader."""
    properties: pa.Table = field(repr=False)
    """Properties of every image, as `image_properties` returns them."""

    def _repr_html_(self) -> str:
        """One line per finding, for notebooks."""
        head = "<tr><th>severity</th><th>finding</th><th>remedy</th></tr>"
        cells = ((str(f.severity), f.title, f.remedy) for f in self.findings)
        lines = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in cells)
        return f"<table>{head}{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"

    def fails(self, also: Sequence[str] = ()) -> bool:
        """Whether any finding is an error, or of the kinds `also` and not accepted."""
        return any(
            finding.severity == "error" or (finding.kind in also and finding.severity != "accepted")
            for finding in self.findings
        )


def audit(
    dataset: Dataset,
    *,
    evidence: Evidence | None = None,
    reference: Dataset | None = None,
    accepted: Mapping[tuple[str, str], str] | None = None,
    group: str | None = None,
    hard: "tuple[Hardness, tuple[int, int]] | None" = None,
    remedy: str = "leave out the images listed in {}",
) -> Audit:
    """Check a dataset.

    Args:
        dataset: all its splits.
        evidence: a network's predictions and training dynamics.
        reference: images from the device. If it has the same classes, labels are compared too.
        accepted: associations that are part of the task.
        group: column whose values must not share images or splits.
        hard: a refiner's predictions, and the small network's input size.
        remedy: how to leave out the images of a list, with `{}` for its file.

    Raises:
        ChangedImageError: when an image can no longer be read.
        DataError: when `accepted` names an unknown column, or the evidence has other classes.
    """
    rows = np.arange(len(dataset.manifest))
    properties, prints = _measure(dataset, rows)
    columns = property_columns(properties)
    copies = copy_findings(dataset, find_copies(dataset, prints), group, remedy)
    findings = problem_findings(_with_split_groups(dataset, group), remedy)
    if any(finding.kind == "conflict" for finding in copies):
        # Copies of the same bytes are among all copies, which have pictures.
        findings = [each for each in findings if each.facts.get("problem") != "conflicting_labels"]
    findings += copies
    findings += class_findings(dataset)
    findings += outlier_findings(dataset, columns)
    skipped: dict[str, str] = {}
    more, notes = _compare(dataset, columns, evidence, reference, accepted or {}, skipped)
    findings += more
    if evidence is None or evidence.dynamics is None:
        skipped["suspect"] = "no training was recorded: audit a run folder"
    else:
        findings += suspect_findings(dataset, evidence)
    if hard is None:
        skipped["too_hard"] = "needs a network with a large input: --refiner, --input-size"
    else:
        # Imported here, with torch, which an audit without a network does without.
        from tinyrefinery.audit.unrecognizable import too_hard_findings

        findings += too_hard_findings(dataset, *hard, remedy)
    if group is None:
        notes.append("groups in several splits were not checked: give --group COLUMN")
    return Audit(tuple(worst_first(findings)), skipped, tuple(notes), properties)


def _with_split_groups(dataset: Dataset, group: str | None) -> Dataset:
    """Add a problem for each group in several splits, unless opening reported them."""
    kinds = {problem.kind for problem in dataset.problems}
    if group is None or "group_across_splits" in kinds:
        return dataset
    split_groups = groups_across_splits(dataset.manifest, group)
    return replace(dataset, problems=(*dataset.problems, *split_groups))


def _measure(dataset: Dataset, rows: np.ndarray) -> tuple[pa.Table, Fingerprints]:
    """Properties and fingerprints, decoding each image once."""
    properties: list[dict[str, Any]] = []

    def measure_chunk(chunk: Chunk) -> tuple[dict[str, Any], Fingerprints]:
        """Both for one chunk."""
        return chunk_properties(dataset, chunk), fingerprint(chunk)

    def prints() -> Iterator[Fingerprints]:
        """The fingerprints, one chunk after the other; their properties are kept aside."""
        for values, part in map_chunks(dataset, rows, measure_chunk):
            properties.append(values)
            yield part

    all_prints = Fingerprints.concatenate(prints(), len(rows))
    return properties_table(dataset, rows, properties), all_prints


def _compare(
    dataset: Dataset,
    columns: Sequence[Column],
    evidence: Evidence | None,
    reference: Dataset | None,
    accepted: Mapping[tuple[str, str], str],
    skipped: dict[str, str],
) -> tuple[list[Finding], list[str]]:
    """Find shortcuts and empty cells in training, and shifts to test and reference images."""
    names = [column.name for column in columns]
    train = dataset.manifest.rows("train")
    labels = dataset.manifest.labels
    metadata, unusable = metadata_columns(dataset, np.arange(len(labels)), names)
    all_columns = [*columns, *metadata]
    train_columns = _select(all_columns, train)
    _check_accepted(accepted, [column.name for column in all_columns])
    shortcuts, associations = find_shortcuts(
        train_columns, labels[train], dataset.classes, accepted
    )
    predictions = _predictions(dataset, all_columns, evidence)
    if predictions is None:
        skipped["use of shortcuts"] = "no predictions: audit a run folder, or give --model"
    device_columns, labeled = _reference(dataset, reference)
    findings = shortcut_findings(dataset, train, train_columns, shortcuts, predictions, labeled)
    findings += cell_findings(_select(metadata, train), labels[train], dataset.classes)
    test = dataset.manifest.rows("test")
    if len(test):
        findings += _shift(train_columns, _select(all_columns, test), "train", "test")
    if reference is None:
        skipped["shift to the device"] = "no images from the device: give --reference"
    else:
        findings += _shift(train_columns, device_columns, "train", "reference")
    notes = [floor_note(associations)]
    notes += [
        f"column '{name}' {why}: not searched for shortcuts" for name, why in unusable.items()
    ]
    return findings, notes


def _check_accepted(accepted: Mapping[tuple[str, str], str], names: Sequence[str]) -> None:
    """Reject an accept list with an unknown column, which would silently accept nothing."""
    for name, _ in accepted:
        if name not in names:
            raise DataError(
                f"accept list: no property or column '{name}'.{did_you_mean(name, names)} "
                f"There are: {', '.join(names)}"
            )


def _select(columns: Sequence[Column], rows: np.ndarray) -> list[Column]:
    return [Column(column.name, column.values[rows]) for column in columns]


def _predictions(
    dataset: Dataset, columns: Sequence[Column], evidence: Evidence | None
) -> PredictedImages | None:
    if evidence is None or evidence.predictions is None:
        return None
    rows, predicted = evidence.answers(dataset)
    if not len(rows):
        return None
    labels = dataset.manifest.labels[rows]
    return PredictedImages(_select(columns, rows), rows, labels, predicted, evidence.title)


def _reference(
    dataset: Dataset, reference: Dataset | None
) -> tuple[list[Column], ReferenceImages | None]:
    """The reference images' columns, and these with labels if the classes are the dataset's."""
    if reference is None:
        return [], None
    rows = np.arange(len(reference.manifest))
    columns = property_columns(image_properties(reference, rows))
    names = [column.name for column in columns]
    columns += metadata_columns(reference, rows, names)[0]
    if not set(reference.classes) <= set(dataset.classes):
        return columns, None
    labels = reference.manifest.with_classes(dataset.classes).labels
    return columns, ReferenceImages(columns, labels)


def _shift(
    here: Sequence[Column], there: Sequence[Column], here_name: str, there_name: str
) -> list[Finding]:
    """Find the properties in which two sets of images differ."""
    by_name = {column.name: column for column in there}
    common = [
        Column(column.name, np.concatenate([column.values, by_name[column.name].values]))
        for column in here
        if column.name in by_name and by_name[column.name].is_number == column.is_number
    ]
    if not common:
        return []
    n, m = len(here[0].values), len(there[0].values)
    domain = np.repeat([0, 1], [n, m])
    shortcuts, _ = find_shortcuts(common, domain, (here_name, there_name))
    return shift_findings(shortcuts, here_name, there_name)
