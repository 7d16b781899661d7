"""What an audit has to say: findings, each with its place, its pictures and what mends it."""

from dataclasses import dataclass, field
from typing import Any, Literal

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
