"""The HTML page of an audit: findings with pictures, in one self-contained file."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyrefinery.audit.finding import SEVERITIES
from tinyrefinery.pages.templating import template

_TEMPLATES = Path(__file__).parent / "templates"
_WORD = r"""(?:'[^']*'|"[^"]*"|[^\s'"])+"""
_COMMAND = re.compile(rf"(tinyrefinery run {_WORD} data\.source\.exclude={_WORD})")


def remedy_parts(remedy: str) -> list[tuple[str, bool]]:
    """The texts of a remedy in order, each with whether it is a command to paste."""
    parts = _COMMAND.split(remedy)
    return [(part, place % 2 == 1) for place, part in enumerate(parts) if part.strip()]


def render_audit(
    *,
    target: str,
    images: int,
    classes: int,
    counts: Mapping[str, int],
    findings: Sequence[Mapping[str, Any]],
    kinds: Mapping[str, str],
    skipped: Mapping[str, str],
    notes: Sequence[str],
) -> str:
    """Render the page as HTML.

    Args:
        target: name of what was audited.
        images: number of images.
        classes: number of classes.
        counts: number of findings per severity.
        findings: the worst first, each with kind, severity, title, more, remedy and strips. A strip
            has a title and pictures: a data: URI, a caption and the image's path each. A remedy is
            a list of texts, each with whether it is a command.
        kinds: description of each kind of finding.
        skipped: reason for each check that was skipped.
        notes: further lines for the reader.
    """
    parts = [
        f"{counts[name]} {name}{'' if counts[name] == 1 or name == 'accepted' else 's'}"
        for name in SEVERITIES
        if counts.get(name)
    ]
    return template("audit.html.j2", _TEMPLATES).render(
        target=target,
        images=images,
        classes=classes,
        headline=", ".join(parts) or "no findings",
        findings=findings,
        kinds=kinds,
        skipped=skipped,
        notes=notes,
    )
