"""Detected boxes: decoding them from a detector's outputs, and storing them as Parquet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import batched_nms, clip_boxes_to_image

from tinyrefinery.data.batches import Batch, load, split_batches
from tinyrefinery.detection.box_view import BoxView
from tinyrefinery.detection.boxes import BoxData
from tinyrefinery.detection.matching import CODER
from tinyrefinery.files import atomic_file
from tinyrefinery.layers.modes import evaluation_mode
from tinyrefinery.recipe.detection import Inference

_BATCH = 32


@dataclass(frozen=True)
class Detections:
    """The boxes detected in one image, the most probable first."""

    boxes: np.ndarray
    """(n, 4) float32, in pixels."""
    labels: np.ndarray
    """(n,) int64, classes from 0."""
    scores: np.ndarray
    """(n,) float32, probabilities."""


def decode(
    outputs: Tensor, default_boxes: Tensor, size: int, inference: Inference
) -> list[Detections]:
    """Decode the boxes of each image, in pixels of the input.

    As in torchvision's `postprocess_detections`.

    Args:
        outputs: (B, A, 4 + 1 + K).
        default_boxes: (A, 4).
        size: height and width of the input in pixels.
        inference: thresholds.
    """
    probabilities = F.softmax(outputs[..., 4:].float(), dim=2)[..., 1:]  # (B, A, K)
    detections = []
    for offsets, scores in zip(outputs[..., :4].float(), probabilities, strict=True):
        boxes = clip_boxes_to_image(CODER.decode_single(offsets, default_boxes), (size, size))
        detections.append(_select(boxes, scores, inference))
    return detections


def _select(boxes: Tensor, scores: Tensor, inference: Inference) -> Detections:
    """Select from boxes (A, 4) with scores (A, K) by score, overlap and number."""
    count = min(inference.candidates, len(boxes))
    best, index = scores.topk(count, dim=0)  # (count, K), boxes compete per class
    labels = torch.arange(scores.shape[1], device=scores.device).expand_as(index)
    good = best > inference.score
    best, index, labels = best[good], index[good], labels[good]  # (n,)
    kept = batched_nms(boxes[index], best, labels, inference.overlap)[: inference.most]
    return Detections(
        boxes[index[kept]].cpu().numpy(), labels[kept].cpu().numpy(), best[kept].cpu().numpy()
    )


def detect(
    network: nn.Module,
    view: BoxView,
    rows: np.ndarray,
    inference: Inference,
    *,
    workers: int = 0,
    look: Callable[[Tensor, Batch], None] | None = None,
) -> list[Detections]:
    """Detect boxes in the images `rows`, in pixels of each image.

    Args:
        network: a detector. Its modules are returned to their previous modes.
        view: renders whole images.
        rows: numbers of the images.
        inference: thresholds.
        workers: threads that prepare images.
        look: called with the outputs of every batch, e.g. for a loss.
    """
    batches = split_batches(rows, _BATCH, drop_last=False)
    detections: list[Detections] = []
    with evaluation_mode(network), torch.inference_mode():
        for batch in load(view, batches, 0, workers=workers):
            outputs = network(batch.images)
            if look is not None:
                look(outputs, batch)
            boxes = network.default_boxes
            detections += decode(outputs, boxes, view.size, inference)  # type: ignore[arg-type]
    sizes = view.data.images.sizes[rows]
    return [
        _in_image(boxes, sides, view.size) for boxes, sides in zip(detections, sizes, strict=True)
    ]


def _in_image(detections: Detections, sides: np.ndarray, size: int) -> Detections:
    """Convert pixels of the input to pixels of the image."""
    height, width = sides.tolist()
    scale = np.array([width, height, width, height], np.float32) / size
    return Detections(detections.boxes * scale, detections.labels, detections.scores)


_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("row", pa.int64()),
        ("label", pa.int64()),
        ("score", pa.float32()),
        ("x1", pa.float32()),
        ("y1", pa.float32()),
        ("x2", pa.float32()),
        ("y2", pa.float32()),
    ]
)


def save_detections(
    path: Path, data: BoxData, rows: np.ndarray, detections: Sequence[Detections]
) -> None:
    """Write one row per box: id and number of the image, class, probability, corners in pixels."""
    counts = [len(image.labels) for image in detections]
    boxes = np.concatenate([image.boxes for image in detections] or [np.zeros((0, 4), np.float32)])
    columns = {
        "id": np.repeat(np.array(data.ids, object)[rows], counts),
        "row": np.repeat(rows, counts),
        "label": np.concatenate([i.labels for i in detections] or [np.zeros(0, np.int64)]),
        "score": np.concatenate([i.scores for i in detections] or [np.zeros(0, np.float32)]),
        **{name: boxes[:, i] for i, name in enumerate(("x1", "y1", "x2", "y2"))},
    }
    table = pa.table({name: pa.array(c) for name, c in columns.items()}).cast(_SCHEMA)
    with atomic_file(path) as temporary:
        pq.write_table(table, temporary)
