"""Likely label errors as a finding: a ranking to review from the top, never a verdict."""

import numpy as np
import pyarrow as pa

from tinyrefinery.audit.evidence import Evidence
from tinyrefinery.audit.finding import Finding, Strip
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.evaluation.likely_label_errors import find_suspects, worth_checking

_SHOWN = 24


def suspect_findings(dataset: Dataset, evidence: Evidence) -> list[Finding]:
    """Report the likely label errors in one finding, if there are any.

    Args:
        dataset: the data that the network was trained on.
        evidence: includes training dynamics.
    """
    dynamics = evidence.dynamics
    assert dynamics is not None
    places = find_suspects(dynamics)
    ids = np.array(dynamics.column("id").to_pylist(), object)
    at = dataset.manifest.current_rows(ids, dynamics.column("row").to_numpy())
    suspects = [(int(at[place]), int(place)) for place in places if at[place] >= 0]
    if not suspects:
        return []
    rows = [row for row, _ in suspects]
    labels = dataset.manifest.labels
    refined = "refined_class" in dynamics.column_names
    refined_classes = dynamics.column("refined_class").to_numpy() if refined else None
    aum = dynamics.column("aum").to_numpy()

    def caption(row: int, place: int) -> str:
        """The label and what contradicts it."""
        label = dataset.classes[labels[row]]
        if refined_classes is None:
            return f"{label}, margin {aum[place]:+.1f}"
        return f"{label} -> {dataset.classes[int(np.nan_to_num(refined_classes[place]))]}"

    shown = suspects[:_SHOWN]
    counts = np.bincount(labels[rows], minlength=len(dataset.classes))
    most = int(counts.argmax())
    return [
        Finding(
            "suspect",
            "warning",
            f"{len(rows)} likely label errors, ranked, most of them labeled "
            f"{dataset.classes[most]} ({counts[most]})",
            str(dataset.manifest.column("path")[rows[0]]),
            "review suspects.csv from the top until most labels are correct. Fix the wrong labels, "
            "or list these images in a file for data.source.exclude",
            len(rows),
            "The ranking includes hard images with correct labels, more of them further down. No "
            f"image is relabeled or left out.{_threshold(dynamics)}",
            (
                Strip(
                    "most likely errors first",
                    tuple(row for row, _ in shown),
                    tuple(caption(row, place) for row, place in shown),
                ),
            ),
            facts={"ranked_by": "refined labels" if refined else "area under the margin"},
        )
    ]


def _threshold(dynamics: pa.Table) -> str:
    """Where to stop checking, if training had threshold samples."""
    line = worth_checking(dynamics).removeprefix("likely label errors: ")
    return f" {line[0].upper()}{line[1:]}." if line else ""
