"""Found boxes: from a detector's outputs, for the images of a split, kept as Parquet."""

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
from tinyrefinery.detection.boxes import BoxData
from tinyrefinery.detection.matching import CODER
from tinyrefinery.detection.view import BoxView
from tinyrefinery.errors import DataError
from tinyrefinery.files import atomic_file
from tinyrefinery.layers.modes import evaluation_mode
from tinyrefinery.recipe.detection import Inference

_BATCH = 32


@dataclass(frozen=True)
class Found:
    """The boxes found in one image, the most probable first."""

    boxes: np.ndarray
    """(n, 4) float32, in pixels."""
    labels: np.ndarray
    """(n,) int64, classes from 0."""
    scores: np.ndarray
    """(n,) float32, probabilities."""


def decode(outputs: Tensor, default_boxes: Tensor, size: int, inference: Inference) -> list[Found]:
    """The boxes of each image, in pixels of the input; as torchvision's `postprocess_detections`.

    Args:
        outputs: (B, A, 4 + 1 + K).
        default_boxes: (A, 4).
        size: height and width of the input.
        inference: thresholds.
    """
    probabilities = F.softmax(outputs[..., 4:].float(), dim=2)[..., 1:]
    found = []
    for offsets, scores in zip(outputs[..., :4].float(), probabilities, strict=True):
        boxes = clip_boxes_to_image(CODER.decode_single(offsets, default_boxes), (size, size))
        found.append(_kept(boxes, scores, inference))
    return found


def _kept(boxes: Tensor, scores: Tensor, inference: Inference) -> Found:
    """Boxes (A, 4) and their scores (A, K), thinned out."""
    count = min(inference.candidates, len(boxes))
    best, which = scores.topk(count, dim=0)
    labels = torch.arange(scores.shape[1], device=scores.device).expand_as(which)
    good = best > inference.score
    best, which, labels = best[good], which[good], labels[good]
    kept = batched_nms(boxes[which], best, labels, inference.overlap)[: inference.most]
    return Found(
        boxes[which[kept]].cpu().numpy(), labels[kept].cpu().numpy(), best[kept].cpu().numpy()
    )


def detect(
    network: nn.Module,
    view: BoxView,
    rows: np.ndarray,
    inference: Inference,
    *,
    workers: int = 0,
    look: Callable[[Tensor, Batch], None] | None = None,
) -> list[Found]:
    """Boxes in pixels of each of the images `rows`.

    Args:
        network: a detector; its modules are left in the modes they were in.
        view: of whole images.
        rows: their numbers.
        inference: thresholds.
        workers: threads that prepare images.
        look: is shown the outputs for every batch, for a loss.
    """
    batches = split_batches(rows, _BATCH, drop_last=False)
    found: list[Found] = []
    with evaluation_mode(network), torch.inference_mode():
        for batch in load(view, batches, 0, workers=workers):
            outputs = network(batch.images)
            if look is not None:
                look(outputs, batch)
            boxes = network.default_boxes
            found += decode(outputs, boxes, view.size, inference)  # type: ignore[arg-type]
    sizes = view.data.images.sizes[rows]
    return [_in_image(each, side, view.size) for each, side in zip(found, sizes, strict=True)]


def _in_image(found: Found, sides: np.ndarray, size: int) -> Found:
    """From pixels of the input to those of the image."""
    height, width = sides.tolist()
    scale = np.array([width, height, width, height], np.float32) / size
    return Found(found.boxes * scale, found.labels, found.scores)


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


def save_found(path: Path, data: BoxData, rows: np.ndarray, found: Sequence[Found]) -> None:
    """One row a box: id and number of the image, class, probability, corners in pixels."""
    count = [len(each.labels) for each in found]
    boxes = np.concatenate([each.boxes for each in found] or [np.zeros((0, 4), np.float32)])
    columns = {
        "id": np.repeat(np.array(data.ids, object)[rows], count),
        "row": np.repeat(rows, count),
        "label": np.concatenate([e.labels for e in found] or [np.zeros(0, np.int64)]),
        "score": np.concatenate([e.scores for e in found] or [np.zeros(0, np.float32)]),
        **{name: boxes[:, i] for i, name in enumerate(("x1", "y1", "x2", "y2"))},
    }
    table = pa.table({name: pa.array(c) for name, c in columns.items()}).cast(_SCHEMA)
    with atomic_file(path) as aside:
        pq.write_table(table, aside)


def read_found(path: Path, rows: np.ndarray) -> list[Found]:
    """What `save_found` wrote, for each of the images `rows`.

    Raises:
        DataError: when the file is missing, truncated or another one.
    """
    try:
        table = pq.read_table(path).cast(_SCHEMA)
    except (OSError, pa.ArrowInvalid, ValueError) as error:
        raise DataError(f"{path}: no readable found boxes ({error})") from error
    at = table.column("row").to_numpy()
    corners = np.stack([table.column(n).to_numpy() for n in ("x1", "y1", "x2", "y2")], axis=1)
    labels, scores = (table.column(name).to_numpy() for name in ("label", "score"))
    mine = [np.flatnonzero(at == row) for row in rows]
    return [Found(corners[which], labels[which], scores[which]) for which in mine]
