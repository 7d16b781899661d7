"""Shortcuts as findings, with pictures and whether the network uses them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from tinyrefinery.audit.accepted import entry_to_accept
from tinyrefinery.audit.association import Associations, Column
from tinyrefinery.audit.finding import Finding, Strip
from tinyrefinery.audit.model_use import Use, use_of
from tinyrefinery.audit.shortcuts import Shortcut
from tinyrefinery.data.dataset import Dataset

_SHOWN = 10  # pictures per strip
_STRIPS = 6  # classes per finding
MOST = 20  # findings in full; the rest are summarized in one


@dataclass(frozen=True)
class PredictedImages:
    """Images with a network's predictions."""

    columns: Sequence[Column]
    """Properties of the n images."""
    rows: np.ndarray
    """(n,) manifest rows."""
    labels: np.ndarray
    """(n,)."""
    predicted: np.ndarray
    """(n,)."""
    title: str
    """Network and split, for display."""


@dataclass(frozen=True)
class ReferenceImages:
    """Labeled images from the device, with the dataset's classes."""

    columns: Sequence[Column]
    labels: np.ndarray


def shortcut_findings(
    dataset: Dataset,
    rows: np.ndarray,
    columns: Sequence[Column],
    shortcuts: Sequence[Shortcut],
    predictions: PredictedImages | None = None,
    reference: ReferenceImages | None = None,
) -> list[Finding]:
    """Report one finding per shortcut. The weakest are summarized in one.

    Args:
        dataset: the images.
        rows: (N,) manifest rows that were searched for shortcuts.
        columns: properties of these rows.
        shortcuts: the shortcuts, strongest first.
        predictions: a network's predictions, or None.
        reference: labeled images from the device, or None.
    """
    values = {column.name: column.values for column in columns}
    findings = [
        _finding(dataset, rows, values[shortcut.cue.column], shortcut, predictions, reference)
        for shortcut in shortcuts
    ]
    not_accepted = [finding for finding in findings if finding.severity != "accepted"]
    rest = not_accepted[MOST:]
    if not rest:
        return findings
    summary = Finding(
        "shortcut",
        "note",
        f"{len(rest)} weaker shortcuts, starting with {rest[0].where}",
        rest[0].where,
        "judge the stronger ones first",
        len(rest),
        facts={"weaker": [finding.facts for finding in rest]},
    )
    return [*(finding for finding in findings if finding not in rest), summary]


def _finding(
    dataset: Dataset,
    rows: np.ndarray,
    values: np.ndarray,
    shortcut: Shortcut,
    predictions: PredictedImages | None,
    reference: ReferenceImages | None,
) -> Finding:
    cue, name = shortcut.cue, dataset.classes[shortcut.label]
    use = None if predictions is None else _use(shortcut, predictions)
    facts = asdict(shortcut) | {"class": name, "strength": shortcut.strength, "sql": cue.sql}
    facts |= {"use": None if use is None else asdict(use)}
    details = [f"95% interval of this share: {shortcut.low:.0%} to {shortcut.high:.0%}."]
    if shortcut.also:
        details.append(f"The same images stand out in {', '.join(shortcut.also)}.")
    if reference is not None and (counts := _reference_share(shortcut, reference)):
        share, images = counts
        facts["reference"] = {"share": share, "images": images}
        details.append(f"Of {images} reference images with {cue}, {share:.0%} are {name}.")
    if use is not None and predictions is not None:
        details.append(_use_text(use, predictions.title, name))
    verdict = "" if use is None else f" {use.verdict}:"
    effect = f"AUC {shortcut.auc:.2f}" if shortcut.auc is not None else f"V {shortcut.v:.2f}"
    return Finding(
        "shortcut",
        "accepted" if shortcut.reason else "warning",
        f"{cue.column} -> {name}:{verdict} {shortcut.share:.0%} of {shortcut.images} images with "
        f"{cue} are {name}, against {shortcut.base:.0%} of all images ({effect})",
        f"{cue.column} -> {name}",
        f"accepted: {shortcut.reason}"
        if shortcut.reason
        else f"collect images of other classes with {cue}, vary the property in training, or "
        f"accept it with a reason: - {entry_to_accept(cue.column, name)}",
        shortcut.images,
        " ".join(details),
        _pictures(dataset, rows, values, shortcut) + _errors(dataset, shortcut, predictions),
        facts=facts,
    )


def _use_text(use: Use, title: str, name: str) -> str:
    text = (
        f"{title}: {name} is predicted for {use.drawn:.1%} of {use.conflicting} conflicting images "
        f"(cue present, not {name}) and for {use.called:.1%} of {use.others} other images that are "
        f"not {name}. Difference {use.drawn - use.called:+.3f} (95% interval {use.low:+.3f} to "
        f"{use.high:+.3f})."
    )
    if use.verdict == "BRITTLE":
        text += " Errors are more frequent where the cue is present, but not toward this class."
    if use.verdict == "UNPROVEN":
        text += " More conflicting images are needed for a verdict: collect some."
    return text


def _use(shortcut: Shortcut, predictions: PredictedImages) -> Use | None:
    column = _column(predictions.columns, shortcut)
    if column is None:
        return None
    present = shortcut.cue.holds(column.values)
    return use_of(present, predictions.labels, predictions.predicted, shortcut.label)


def _reference_share(shortcut: Shortcut, reference: ReferenceImages) -> tuple[float, int] | None:
    """Share of the class among the reference images with the cue, and their number."""
    column = _column(reference.columns, shortcut)
    if column is None:
        return None
    labels = reference.labels[shortcut.cue.holds(column.values)]
    return float((labels == shortcut.label).mean()) if len(labels) else 0.0, len(labels)


def _column(columns: Sequence[Column], shortcut: Shortcut) -> Column | None:
    return next((column for column in columns if column.name == shortcut.cue.column), None)


def _pictures(
    dataset: Dataset, rows: np.ndarray, values: np.ndarray, shortcut: Shortcut
) -> tuple[Strip, ...]:
    """The images with the strongest cue, one strip per class, the cue's class first."""
    present = np.flatnonzero(shortcut.cue.holds(values))
    if values.dtype.kind == "f" and shortcut.cue.kind in ("low", "high"):
        order = np.argsort(values[present], kind="stable")
        present = present[order if shortcut.cue.kind == "low" else order[::-1]]
    labels = dataset.manifest.labels[rows[present]]
    counts = np.bincount(labels, minlength=len(dataset.classes))
    by_count = np.argsort(-counts, kind="stable")
    classes = [shortcut.label, *(label for label in by_count if label != shortcut.label)]
    strips = []
    for label in [label for label in classes if counts[label]][:_STRIPS]:
        of_class = rows[present[labels == label]]
        title = f"{dataset.classes[label]} with {shortcut.cue}: {len(of_class)}"
        strips.append(Strip(title, tuple(int(row) for row in of_class[:_SHOWN])))
    return tuple(strips)


def _errors(
    dataset: Dataset, shortcut: Shortcut, predictions: PredictedImages | None
) -> tuple[Strip, ...]:
    """Conflicting images for which the network predicts the cue's class."""
    column = predictions and _column(predictions.columns, shortcut)
    if predictions is None or column is None:
        return ()
    wrong = shortcut.cue.holds(column.values) & (predictions.labels != shortcut.label)
    wrong &= predictions.predicted == shortcut.label
    rows = predictions.rows[wrong][:_SHOWN]
    if not len(rows):
        return ()
    title = f"wrongly predicted as {dataset.classes[shortcut.label]} with {shortcut.cue}"
    return (Strip(title, tuple(int(row) for row in rows)),)


def shift_findings(shortcuts: Sequence[Shortcut], here: str, there: str) -> list[Finding]:
    """Report the properties in which training images differ from other images.

    Args:
        shortcuts: found among both sets together, with label 0 for training and 1 for the others.
        here: name of the training images.
        there: name of the other images.
    """
    findings = []
    for shortcut in shortcuts:
        side = there if shortcut.label else here
        auc = "" if shortcut.auc is None else f" (AUC {shortcut.auc:.2f})"
        findings.append(
            Finding(
                "shift",
                "warning" if there == "reference" else "note",
                f"{shortcut.cue.column}: {here} and {there} differ: {shortcut.share:.0%} of "
                f"{shortcut.images} images with {shortcut.cue} are {side}, against "
                f"{shortcut.base:.0%} of all images{auc}",
                shortcut.cue.column,
                "collect training images like those from the device, or vary the property in "
                "training"
                if there == "reference"
                else f"draw {here} and {there} from the same images, or document the difference",
                shortcut.images,
                f"Also {', '.join(shortcut.also)}." if shortcut.also else "",
                facts=asdict(shortcut) | {"here": here, "there": there},
            )
        )
    return findings


def floor_note(associations: Associations) -> str:
    """One line with the number of columns searched and the noise floor."""
    n, columns = int(associations.counts.sum()), len(associations.columns)
    counts = associations.counts[associations.counts > 0]
    if not np.isfinite(associations.floor) or not len(counts):
        return f"{columns} columns, {n} images: too few to distinguish a shortcut from chance"
    typical = float(np.median(counts))
    # Standard deviation of the AUC under permutation, without ties (Mann and Whitney 1947).
    deviation = np.sqrt((n + 1) / (12 * typical * max(1.0, n - typical)))
    return (
        f"noise floor of {columns} columns and {len(counts)} classes over {n} images: |z| "
        f"{associations.floor:.1f}, for a class of {typical:.0f} images an AUC "
        f"{associations.floor * deviation:.3f} away from 0.5"
    )
