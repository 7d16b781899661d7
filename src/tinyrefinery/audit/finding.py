"""What an audit has to say: findings, each with its place, its pictures and what mends it."""

from dataclasses import dataclass, field
from typing import Any, Literal

from tinyrefinery.data.dataset import Dataset, Problem

Severity = Literal["error", "warning", "note", "accepted"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note", "accepted")
"""From the worst. An error makes the command fail: what is measured on such data is not true."""

KINDS = {
    "broken": "images that can't be read, and what the opening checks said",
    "leak": "copies or groups in several splits",
    "copies": "copies within a split",
    "conflict": "copies with different labels",
    "small_class": "classes with too few images to learn or to be measured",
    "cell": "classes that are missing under some condition",
    "outlier": "images far from all others in some property",
    "suspect": "labels that look wrong",
    "too_hard": "images that can't be recognized at the network's input size",
    "shortcut": "properties that give the label away",
    "shift": "properties that differ between training and other images",
}
"""Kinds of findings."""


@dataclass(frozen=True)
class Strip:
    """A line of pictures."""

    title: str
    rows: tuple[int, ...]
    """Manifest rows, the most telling first; a page shows the first few."""
    captions: tuple[str, ...] = ()
    """One a row; none: the class."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or may be."""

    kind: str
    """A key of `KINDS`."""
    severity: Severity
    title: str
    """What was found, with its numbers, in one line."""
    where: str
    """Column, class, split or first file."""
    remedy: str
    """What to do about it; a command where there is one."""
    count: int = 1
    """Images, or whatever is counted."""
    more: str = ""
    """A sentence of explanation."""
    strips: tuple[Strip, ...] = ()
    listed: tuple[int, ...] = ()
    """Manifest rows that `remedy` leaves out when its list is used."""
    list_file: str = ""
    """Name of the file for them; empty: none is written."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Numbers for machines, JSON-ready."""


def worst_first(findings: list[Finding]) -> list[Finding]:
    """By severity, then in the order of `KINDS`, else as given."""
    kinds = list(KINDS)
    return sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), kinds.index(f.kind)))


_MEANS: dict[str, tuple[str, Severity, str]] = {
    "broken_image": ("broken", "warning", "mend or delete the files; they are left out"),
    "missing_label": ("broken", "warning", "label them, or delete them; they are left out"),
    "duplicate_across_splits": (
        "leak",
        "error",
        "delete one of each pair: this tool leaves the training copy out, others would not",
    ),
    "group_across_splits": (
        "leak",
        "error",
        "carve the splits by group: leave the source's own splits and set data.source.group",
    ),
    "conflicting_labels": ("conflict", "warning", "at least one label of each is wrong: look"),
    "empty_class": ("small_class", "warning", "collect images of it, or remove the class"),
    "auto_labels_measure": (
        "leak",
        "warning",
        "review these images, or move them to training: a network's labels measure no network",
    ),
    "empty_split": ("small_class", "warning", "collect more images"),
    "ignored_files": ("broken", "note", "rename what is an image"),
    "unlisted_image": ("broken", "note", "list them in the metadata file, or delete them"),
    "excluded": ("broken", "note", "nothing: the list says so"),
    "overlay": ("broken", "note", "nothing: people decided so"),
    "stale_decision": ("conflict", "warning", "review these images again"),
    "reviewers_disagree": ("conflict", "warning", "give one of them the last word: docs/review.md"),
}


_SPELLED_OUT = 200


def problem_findings(dataset: Dataset, mend: str) -> list[Finding]:
    """One finding a kind of problem.

    Args:
        dataset: as it was opened.
        mend: unused where a problem has a remedy of its own.
    """
    kinds: dict[str, list[Problem]] = {}
    for problem in dataset.problems:
        kinds.setdefault(problem.kind, []).append(problem)
    found = []
    for name, problems in kinds.items():
        kind, severity, remedy = _MEANS.get(name, ("broken", "warning", mend))
        first = problems[0]
        more = f"; and {len(problems) - 1} more such" if len(problems) > 1 else ""
        found.append(
            Finding(
                kind,
                severity,
                f"{name.replace('_', ' ')}: {first.where}: {first.what}{more}",
                first.where,
                remedy,
                len(problems),
                facts={
                    "problem": name,
                    "all": [[p.where, p.what] for p in problems[:_SPELLED_OUT]],
                },
            )
        )
    return found
