"""Drawing boxes on images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tinyrefinery.detection.boxes import BoxData, GroundTruth
from tinyrefinery.detection.detections import Detections
from tinyrefinery.pages.overlays import Tile, contact_sheet

COLORS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#808000")
"""Colors of classes, in turn."""
SHEET_SIDE = 320  # pixels per side of an image on a contact sheet
GIVEN = "#ffffff"
"""Color of ground-truth boxes."""


def draw_boxes(
    pixels: np.ndarray,
    detections: Detections,
    classes: Sequence[str],
    *,
    score: float = 0.5,
    truth: GroundTruth | None = None,
) -> Image.Image:
    """Draw detected boxes of at least `score` on an image, and ground-truth boxes in thin white.

    Args:
        pixels: uint8 (H, W, 3).
        detections: detected boxes in pixels of the image.
        classes: class names.
        score: smallest probability of a box to draw.
        truth: ground-truth boxes, if known.
    """
    image = Image.fromarray(pixels)
    pen = ImageDraw.Draw(image)
    width = max(1, round(max(image.size) / 250))
    height = max(10, round(max(image.size) / 40))
    font = ImageFont.load_default(height)
    for box in [] if truth is None else truth.boxes:
        pen.rectangle(_corners(box), outline=GIVEN, width=max(1, width // 2))
    for number in np.argsort(detections.scores, kind="stable"):  # the most probable on top
        if detections.scores[number] < score:
            continue
        label = int(detections.labels[number])
        corners = _corners(detections.boxes[number])
        color = COLORS[label % len(COLORS)]
        pen.rectangle(corners, outline=color, width=width)
        text = f"{classes[label]} {detections.scores[number]:.0%}"
        place = (corners[0], max(0.0, corners[1] - height - 2))
        pen.rectangle(pen.textbbox(place, text, font=font), fill=color)
        pen.text(place, text, fill="white", font=font)
    return image


def draw_sheet(
    path: Path, data: BoxData, rows: np.ndarray, detections: Sequence[Detections], *, score: float
) -> None:
    """Write a contact sheet of images with ground-truth boxes (white) and detected ones.

    Args:
        path: the file.
        data: the images.
        rows: the images to show.
        detections: detected boxes per image. It may have more entries than `rows`.
        score: smallest probability of a box to draw.
    """
    tiles = []
    for row, boxes in zip(rows, detections, strict=False):
        pixels, truth = data.images.pixels(int(row)), data.truth[row]
        drawn = draw_boxes(pixels, boxes, data.classes, score=score, truth=truth)
        tiles.append(Tile([np.asarray(drawn)], []))
    contact_sheet(path, tiles, side=SHEET_SIDE)


def _corners(box: np.ndarray) -> tuple[float, float, float, float]:
    """Corners for Pillow, which includes the second corner. A box has at least one pixel."""
    x1, y1, x2, y2 = (float(value) for value in box)
    return x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)
