"""Labels that look wrong, as a finding: a ranking to look at from the top, never a verdict."""

import numpy as np

from tinyrefinery.audit.evidence import Evidence
from tinyrefinery.audit.finding import Finding, Strip
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.evaluation.label_suspicion import find_suspects

_SHOWN = 24


def suspect_findings(dataset: Dataset, evidence: Evidence) -> list[Finding]:
    """One finding, if training speaks against any label.

    Args:
        dataset: what was trained on.
        evidence: with training dynamics.
    """
    dynamics = evidence.dynamics
    assert dynamics is not None
    places = find_suspects(dynamics)
    ids = np.array(dynamics.column("id").to_pylist(), object)
    at = dataset.manifest.current_rows(ids, dynamics.column("row").to_numpy())
    known = [(int(at[place]), int(place)) for place in places if at[place] >= 0]
    if not known:
        return []
    rows = [row for row, _ in known]
    labels = dataset.manifest.labels
    refined = "refined_class" in dynamics.column_names
    guesses = dynamics.column("refined_class").to_numpy() if refined else None
    aum = dynamics.column("aum").to_numpy()

    def told(row: int, place: int) -> str:
        """Given class, and what speaks against it."""
        given = dataset.classes[labels[row]]
        if guesses is None:
            return f"{given}, margin {aum[place]:+.1f}"
        return f"{given} -> {dataset.classes[int(np.nan_to_num(guesses[place]))]}"

    shown = known[:_SHOWN]
    counts = np.bincount(labels[rows], minlength=len(dataset.classes))
    most = int(counts.argmax())
    return [
        Finding(
            "suspect",
            "warning",
            f"{len(rows)} labels look wrong to training, ranked; most are labelled "
            f"{dataset.classes[most]} ({counts[most]})",
            str(dataset.manifest.column("path")[rows[0]]),
            "look at suspects.csv from the top until what you see is right; correct those labels, "
            "or list them in a file for data.source.exclude",
            len(rows),
            "Hard images with right labels are among them, the more the farther down. Nothing is "
            "relabelled or left out for it.",
            (
                Strip(
                    "the most suspect labels first",
                    tuple(row for row, _ in shown),
                    tuple(told(row, place) for row, place in shown),
                ),
            ),
            facts={"ranked_by": "refined labels" if refined else "area under the margin"},
        )
    ]
