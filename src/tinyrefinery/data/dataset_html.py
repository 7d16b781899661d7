"""A dataset in a notebook: counts per class and split, and a grid of pictures."""

import html
import io
from base64 import b64encode

import numpy as np
from PIL import Image

from tinyrefinery.data.images import Images
from tinyrefinery.data.manifest import SPLITS, Manifest

PICTURES = 12
SIDE = 80
"""Longest side of a picture in pixels."""
MOST_CLASSES = 20


def dataset_html(name: str, manifest: Manifest, images: Images, problems: int) -> str:
    """HTML with everything of the user's escaped.

    Args:
        name: of the dataset.
        manifest: its rows.
        images: their pixels, of which `PICTURES` are read.
        problems: number of problems found when it was opened.
    """
    title = f"{name}: {len(manifest):,} images, {len(manifest.classes):,} classes"
    rows = np.linspace(0, len(manifest) - 1, min(PICTURES, len(manifest))).astype(int)
    pictures = "".join(_picture(manifest, images, int(row)) for row in rows)
    return (
        f"<p><b>{html.escape(title)}</b>. Problems: {problems:,}</p>{_counts(manifest)}"
        f'<div style="display:flex;flex-wrap:wrap;gap:8px">{pictures}</div>'
    )


def _counts(manifest: Manifest) -> str:
    splits = [split for split in SPLITS if len(manifest.rows(split))]
    counts = [
        np.bincount(manifest.labels[manifest.rows(split)], minlength=len(manifest.classes))
        for split in splits
    ]
    head = "".join(f"<th>{cell}</th>" for cell in ("class", *splits))
    lines = "".join(
        f"<tr><td>{html.escape(name)}</td>{''.join(f'<td>{c[number]:,}</td>' for c in counts)}</tr>"
        for number, name in enumerate(manifest.classes[:MOST_CLASSES])
    )
    more = len(manifest.classes) - MOST_CLASSES
    rest = f"<tr><td>and {more:,} more classes</td></tr>" if more > 0 else ""
    return f"<table><tr>{head}</tr>{lines}{rest}</table>"


def _picture(manifest: Manifest, images: Images, row: int) -> str:
    pixels = images.pixels(row)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    name = html.escape(manifest.classes[int(manifest.labels[row])], quote=True)
    source = "data:image/png;base64," + b64encode(buffer.getvalue()).decode()
    return f'<div><img src="{source}" alt="{name}"><br><small>{name}</small></div>'
