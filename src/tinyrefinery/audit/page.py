"""The page of an audit: findings with their pictures, in one HTML file that needs nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

from tinyrefinery.pages.templating import template


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
    """The page's HTML.

    Args:
        target: what was audited.
        images: how many.
        classes: how many.
        counts: findings by severity.
        findings: the worst first, each with kind, severity, title, more, remedy and strips, which
            have a title and pictures: pairs of a data: address and a caption.
        kinds: what the kinds of findings are.
        skipped: checks that were left out, and why.
        notes: further lines for the reader.
    """
    words = {"error": "error", "warning": "warning", "note": "note", "accepted": "accepted"}
    told = [
        f"{counts[name]} {word}{'' if counts[name] == 1 or name == 'accepted' else 's'}"
        for name, word in words.items()
        if counts.get(name)
    ]
    return template("audit.html.j2").render(
        target=target,
        images=images,
        classes=classes,
        headline=", ".join(told) or "nothing found",
        findings=findings,
        kinds=kinds,
        skipped=skipped,
        notes=notes,
    )
