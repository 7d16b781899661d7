"""Findings of an audit, each with its place, pictures and remedy."""

from dataclasses import dataclass, field
from typing import Any, Literal

from tinyrefinery.data.dataset import Dataset, Problem

Severity = Literal["error", "warning", "note", "accepted"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note", "accepted")
"""The worst first. An error makes the command fail, because metrics on such data are wrong."""

KINDS = {
    "broken": "unreadable images and other problems found on opening",
    "leak": "copies or groups in several splits",
    "copies": "copies within a split",
    "likely_copies": "images that may be copies, for a person to look at",
    "conflict": "copies with different labels",
    "small_class": "classes with too few images for training or evaluation",
    "cell": "classes that are missing under a condition",
    "outlier": "images far from all others in a property",
    "suspect": "likely label errors",
    "too_hard": "images that are not recognizable at the model's input size",
    "shortcut": "properties that predict the label",
    "shift": "properties that differ between training and other images",
}
"""Kinds of findings."""

_PROBLEMS: dict[str, tuple[str, Severity, str]] = {
    "broken_image": ("broken", "warning", "fix or delete the files. They are left out"),
    "one_color": (
        "broken",
        "warning",
        "look at the files. Convert 16-bit images to 8 bits, and transparent ones to an opaque "
        "background, or delete them",
    ),
    "nearly_black": (
        "broken",
        "warning",
        "look at the files. Scale 16-bit images to the range they use and convert them to 8 bits",
    ),
    "missing_label": ("broken", "warning", "label or delete these images. They are left out"),
    "duplicate_across_splits": (
        "leak",
        "error",
        "delete one copy of each pair. The training copy is left out here, but other tools keep it",
    ),
    "group_across_splits": (
        "leak",
        "error",
        "split the data by group: remove the source's own splits and set data.source.group",
    ),
    "conflicting_labels": (
        "conflict",
        "warning",
        "at least one label per pair is wrong: look at the images",
    ),
    "alike_classes": (
        "conflict",
        "warning",
        "merge the folders or labels if they are one class: only their spelling differs",
    ),
    "empty_class": ("small_class", "warning", "collect images of the class, or remove it"),
    "auto_labels_measure": (
        "leak",
        "warning",
        "review these images or move them to training: do not evaluate on a network's labels",
    ),
    "empty_split": ("small_class", "warning", "collect more images"),
    "ignored_files": ("broken", "note", "rename the files that are images"),
    "stray_image": ("broken", "note", "move the images into a class folder, or away"),
    "unlisted_image": ("broken", "note", "list the images in the metadata file, or delete them"),
    "near_copies": ("copies", "note", "nothing: they are in one split"),
    "excluded": ("broken", "note", "nothing: the list excludes these images"),
    "overlay": ("broken", "note", "nothing: reviewers decided so"),
    "stale_decision": ("conflict", "warning", "review these images again"),
    "reviewers_disagree": ("conflict", "warning", "appoint one reviewer to decide: docs/review.md"),
}
"""Kind, severity and remedy of each kind of problem found on opening."""
_SPELLED_OUT = 200  # problems listed in full, per kind


@dataclass(frozen=True)
class Strip:
    """A row of pictures."""

    title: str
    rows: tuple[int, ...]
    """Manifest rows, the most telling first. The page shows the first few."""
    captions: tuple[str, ...] = ()
    """One per row. By default, the class."""


@dataclass(frozen=True)
class Finding:
    """One confirmed or likely problem."""

    kind: str
    """A key of `KINDS`."""
    severity: Severity
    title: str
    """The problem with its numbers, in one line."""
    where: str
    """Column, class, split or first file."""
    remedy: str
    """How to fix it, as a command if possible."""
    count: int = 1
    """Number of images, groups, classes or other things affected."""
    more: str = ""
    """An explanation."""
    strips: tuple[Strip, ...] = ()
    listed: tuple[int, ...] = ()
    """Manifest rows in the list file. `remedy` leaves these out."""
    list_file: str = ""
    """Name of the list file, or empty for none."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Numbers for machines, JSON-ready."""


def worst_first(findings: list[Finding]) -> list[Finding]:
    """Sort by severity, then in the order of `KINDS`. The sort is stable."""
    kinds = list(KINDS)
    return sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), kinds.index(f.kind)))


def problem_findings(dataset: Dataset, remedy: str) -> list[Finding]:
    """Report the problems found on opening, one finding per kind.

    Args:
        dataset: the opened dataset.
        remedy: for kinds of problems that have no remedy of their own.
    """
    by_kind: dict[str, list[Problem]] = {}
    for problem in dataset.problems:
        by_kind.setdefault(problem.kind, []).append(problem)
    findings = []
    for name, problems in by_kind.items():
        kind, severity, how = _PROBLEMS.get(name, ("broken", "warning", remedy))
        first = problems[0]
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        findings.append(
            Finding(
                kind,
                severity,
                f"{name.replace('_', ' ')}: {first.where}: {first.what}{more}",
                first.where,
                how,
                len(problems),
                facts={
                    "problem": name,
                    "all": [[p.where, p.what] for p in problems[:_SPELLED_OUT]],
                },
            )
        )
    return findings
