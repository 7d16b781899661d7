"""The files of an audit: an HTML page, JSON for machines, lists of images to leave out."""

import json
from base64 import b64encode
from collections import Counter
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from tinyrefinery.audit.checks import Audit
from tinyrefinery.audit.evidence import Evidence
from tinyrefinery.audit.finding import KINDS, Finding
from tinyrefinery.audit.page import remedy_parts, render_audit
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.properties.small_images import load_chunk
from tinyrefinery.evaluation.likely_label_errors import save_suspects
from tinyrefinery.files import atomic_file, write_atomic
from tinyrefinery.reading.json_text import read_text

MOST_PICTURES = 500  # per page
SIDE = 96  # pixels at most: 500 pictures take about 1.2 MB
_QUALITY = 80
LISTS = ("leaks.txt", "conflicts.txt", "copies.txt", "likely_copies.txt", "too_hard.txt")
"""Files in which findings list their images."""


def save_audit(
    folder: Path, target: str, dataset: Dataset, result: Audit, evidence: Evidence | None = None
) -> Path:
    """Write audit.html, audit.json, properties.parquet and the lists, each in one step.

    An old list without findings in this audit is emptied, as its images may be from other data. A
    list that the dataset already excludes is kept.

    Args:
        folder: folder for the files.
        target: name of what was audited, as typed.
        dataset: the audited data.
        result: the audit.
        evidence: if it includes training dynamics, suspects.csv is written too.

    Returns:
        The path of the page.
    """
    if evidence is not None and evidence.dynamics is not None:
        save_suspects(folder / "suspects.csv", evidence.dynamics, dataset.manifest)
    lists = {finding.list_file: finding for finding in result.findings if finding.list_file}
    for name in LISTS:
        path = folder / name
        if name in lists:
            write_atomic(path, _excluded_text(dataset, path) + list_text(dataset, lists[name]))
        elif path.exists() and not _excluded_text(dataset, path):
            write_atomic(path, f"# the audit of {' '.join(target.split())} found none\n")
    text = json.dumps(as_json(target, dataset, result), indent=1, ensure_ascii=False, default=str)
    write_atomic(folder / "audit.json", text + "\n")
    with atomic_file(folder / "properties.parquet") as temporary:
        pq.write_table(result.properties, temporary)
    page = folder / "audit.html"
    write_atomic(page, as_page(target, dataset, result))
    return page


def list_text(dataset: Dataset, finding: Finding) -> str:
    """The images of a finding's list, one per line, as the option `exclude` reads them.

    Images are listed by path, because copies share one id and only some of them are left out. The
    id is used if the path is not unique or does not fit on a line.
    """
    paths, ids = (dataset.manifest.column(name) for name in ("path", "id"))
    uses = Counter(paths.tolist())
    lines = [
        paths[row] if uses[paths[row]] == 1 and _fits_line(paths[row]) else ids[row]
        for row in finding.listed
    ]
    title = " ".join(finding.title.split())
    return "\n".join([f"# {title}", *lines]) + "\n"


def _fits_line(path: str) -> bool:
    """Whether a list can hold the path unchanged."""
    return [path.strip()] == path.splitlines() and not path.startswith("#")


def _excluded_text(dataset: Dataset, path: Path) -> str:
    """Content of a list that the dataset already excludes. A new list must keep it."""
    lists = (Path(problem.where) for problem in dataset.problems if problem.kind == "excluded")
    return read_text(path) if path.resolve() in {file.resolve() for file in lists} else ""


def as_json(target: str, dataset: Dataset, result: Audit) -> dict[str, Any]:
    """The audit as JSON-ready values, without pixels."""
    paths = dataset.manifest.column("path")
    findings = []
    for finding in result.findings:
        plain = asdict(finding)
        plain.pop("listed")
        plain["strips"] = [
            {"title": strip.title, "paths": [str(paths[row]) for row in strip.rows]}
            for strip in finding.strips
        ]
        findings.append(plain)
    return {
        "target": target,
        "images": len(dataset.manifest),
        "classes": list(dataset.classes),
        "digest": dataset.manifest.digest,
        "findings": findings,
        "skipped": dict(result.skipped),
        "notes": list(result.notes),
    }


def as_page(target: str, dataset: Dataset, result: Audit) -> str:
    """The audit as one HTML page with pictures."""
    left = MOST_PICTURES
    pictures: dict[int, str] = {}
    classes, labels = dataset.classes, dataset.manifest.labels
    paths = dataset.manifest.column("path")
    findings = []
    for finding in result.findings:
        strips = []
        for strip in finding.strips:
            rows = strip.rows[: max(0, left)]
            left -= len(rows)
            captions = strip.captions or tuple(classes[labels[row]] for row in rows)
            for row in rows:
                pictures[row] = pictures.get(row) or picture(dataset, row)
            shown = [
                (pictures[row], text, str(paths[row]))
                for row, text in zip(rows, captions, strict=False)
            ]
            if shown:
                strips.append({"title": strip.title, "pictures": shown})
        fields = ("kind", "severity", "title", "more")
        listed = finding.facts.get("all") or []
        shown_finding = {name: getattr(finding, name) for name in fields}
        findings.append(
            shown_finding
            | {
                "remedy": remedy_parts(finding.remedy),
                "strips": strips,
                "listed": listed,
                "count": finding.count,
            }
        )
    counts = Counter(finding.severity for finding in result.findings)
    return render_audit(
        target=target,
        images=len(dataset.manifest),
        classes=len(classes),
        counts=counts,
        findings=findings,
        kinds=KINDS,
        skipped=result.skipped,
        notes=result.notes,
    )


def picture(dataset: Dataset, row: int) -> str:
    """One image as a data: URI, a JPEG of at most `SIDE` pixels per side."""
    stack = load_chunk(dataset, np.array([row])).stacks[0]
    pixels = stack.pixels[0]
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + b64encode(buffer.getvalue()).decode()
