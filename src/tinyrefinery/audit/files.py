"""An audit as files: a page, JSON for machines, lists of images to leave out."""

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
from tinyrefinery.audit.page import render_audit
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.properties.small_images import load_chunk
from tinyrefinery.evaluation.label_suspicion import save_suspects
from tinyrefinery.files import atomic_file, write_atomic

MOST_PICTURES = 500  # on a page
LISTS = ("leaks.txt", "conflicts.txt", "copies.txt", "too_hard.txt")
"""Files that findings list images in."""


def save_audit(
    folder: Path, target: str, dataset: Dataset, found: Audit, evidence: Evidence | None = None
) -> Path:
    """Write audit.html, audit.json, properties.parquet and the lists; each in one step.

    A list that an earlier audit left and that finds nothing now is emptied, as its images may be of
    other data; one that the data leaves out stays.

    Args:
        folder: for the files.
        target: what was audited, as the command named it.
        dataset: its data.
        found: what was found.
        evidence: with training dynamics, suspects.csv is written too.

    Returns:
        The page.
    """
    if evidence is not None and evidence.dynamics is not None:
        save_suspects(folder / "suspects.csv", evidence.dynamics, dataset.manifest)
    lists = {each.list_file: each for each in found.findings if each.list_file}
    for name in LISTS:
        path = folder / name
        if name in lists:
            write_atomic(path, in_use(dataset, path) + list_text(dataset, lists[name]))
        elif path.exists() and not in_use(dataset, path):  # of an earlier audit, maybe other data
            write_atomic(path, f"# the audit of {' '.join(target.split())} found none\n")
    text = json.dumps(as_json(target, dataset, found), indent=1, ensure_ascii=False, default=str)
    write_atomic(folder / "audit.json", text + "\n")
    with atomic_file(folder / "properties.parquet") as aside:
        pq.write_table(found.properties, aside)
    page = folder / "audit.html"
    write_atomic(page, as_page(target, dataset, found))
    return page


def list_text(dataset: Dataset, finding: Finding) -> str:
    """The images of a finding's list, one a line, as the option `exclude` reads them.

    By path where no other image has it: copies have one id, and only some are to be left out. A
    path that can't stand in a line of its own is named by id.
    """
    paths, ids = (dataset.manifest.column(name) for name in ("path", "id"))
    times = Counter(paths.tolist())
    lines = [
        paths[row] if times[paths[row]] == 1 and _is_line(paths[row]) else ids[row]
        for row in finding.listed
    ]
    title = " ".join(finding.title.split())
    return "\n".join([f"# {title}", *lines]) + "\n"


def _is_line(path: str) -> bool:
    """Whether a list gives a path back as it is."""
    return [path.strip()] == path.splitlines() and not path.startswith("#")


def in_use(dataset: Dataset, path: Path) -> str:
    """What stands in a list that the data leaves out already: a new one must not undo that."""
    lists = (Path(each.where) for each in dataset.problems if each.kind == "excluded")
    return path.read_text("utf-8") if path.resolve() in {each.resolve() for each in lists} else ""


def as_json(target: str, dataset: Dataset, found: Audit) -> dict[str, Any]:
    """Everything but the pixels."""
    paths = dataset.manifest.column("path")
    findings = []
    for each in found.findings:
        plain = asdict(each)
        plain.pop("listed")
        plain["strips"] = [
            {"title": strip.title, "paths": [str(paths[row]) for row in strip.rows]}
            for strip in each.strips
        ]
        findings.append(plain)
    return {
        "target": target,
        "images": len(dataset.manifest),
        "classes": list(dataset.classes),
        "digest": dataset.manifest.digest,
        "findings": findings,
        "skipped": dict(found.skipped),
        "notes": list(found.notes),
    }


def as_page(target: str, dataset: Dataset, found: Audit) -> str:
    """One HTML page with the findings and their pictures."""
    left = MOST_PICTURES
    shown: dict[int, str] = {}
    classes, labels = dataset.classes, dataset.manifest.labels
    findings = []
    for each in found.findings:
        strips = []
        for strip in each.strips:
            rows = strip.rows[: max(0, left)]
            left -= len(rows)
            captions = strip.captions or tuple(classes[labels[row]] for row in rows)
            for row in rows:
                shown[row] = shown.get(row) or picture(dataset, row)
            pictures = [(shown[row], text) for row, text in zip(rows, captions, strict=False)]
            if pictures:
                strips.append({"title": strip.title, "pictures": pictures})
        findings.append(
            {name: getattr(each, name) for name in ("kind", "severity", "title", "remedy", "more")}
            | {"strips": strips}
        )
    counts = Counter(each.severity for each in found.findings)
    return render_audit(
        target=target,
        images=len(dataset.manifest),
        classes=len(classes),
        counts=counts,
        findings=findings,
        kinds=KINDS,
        skipped=found.skipped,
        notes=found.notes,
    )


SIDE = 96  # pixels at most: 500 of them take about 1.2 MB


_QUALITY = 80


def picture(dataset: Dataset, row: int) -> str:
    """One image as a data: address, JPEG, at most `SIDE` pixels high and wide."""
    stack = load_chunk(dataset, np.array([row])).stacks[0]
    pixels = stack.pixels[0]
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + b64encode(buffer.getvalue()).decode()
