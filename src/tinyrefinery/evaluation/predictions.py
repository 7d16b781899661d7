"""Predictions: made once, sliced often. What a network said about each row, with its identity."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tinyrefinery.errors import DataError
from tinyrefinery.files import writing

if TYPE_CHECKING:  # reading predictions must not cost an import of torch
    from torch import nn

    from tinyrefinery.data.batches import View

_SUM_TOLERANCE = 1e-3  # our choice: softmax in float32 over a thousand classes is within 1e-5


@dataclass(frozen=True)
class Predictions:
    """Probabilities of every class for N rows of a manifest.

    Raises:
        DataError: when lengths differ, a label has no class, or a row is no distribution (a network
            whose training diverged gives NaN).
    """

    ids: np.ndarray = field(repr=False)
    """(N,) str, SHA-256 of each image."""
    rows: np.ndarray = field(repr=False)
    """(N,) int64, row number in the manifest."""
    labels: np.ndarray = field(repr=False)
    """(N,) int64, given class."""
    probabilities: np.ndarray = field(repr=False)
    """(N, K) float32, rows sum to one."""
    classes: tuple[str, ...]
    """K names."""

    def __post_init__(self) -> None:
        shape = (len(self.rows), len(self.classes))
        if self.probabilities.shape != shape or not len(self.ids) == len(self.labels) == shape[0]:
            raise DataError(
                f"predictions: {len(self.ids)} ids, {len(self.rows)} rows, {len(self.labels)} "
                f"labels, {len(self.classes)} classes and probabilities {self.probabilities.shape}"
                " don't fit together"
            )
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < shape[1]:
            raise DataError(f"predictions: a label lies outside the {shape[1]} classes")
        off = np.abs(self.probabilities.sum(axis=1, dtype=np.float64) - 1)
        bad = np.flatnonzero(~(off < _SUM_TOLERANCE))  # NaN is bad too
        if len(bad):
            raise DataError(
                f"predictions: {len(bad)} of {len(off)} rows are no probabilities, first manifest "
                f"row {self.rows[bad[0]]}. If training diverged, try a lower learning rate."
            )

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def predicted(self) -> np.ndarray:
        """Most probable class, (N,) int64; the lowest number among equals."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def correct(self) -> np.ndarray:
        """Whether the most probable class is the label, (N,) bool."""
        return self.predicted == self.labels

    def save(self, path: Path) -> None:
        """Write as Parquet: id, row, label, predicted, probabilities; class names as metadata."""
        flat = pa.array(np.ascontiguousarray(self.probabilities, np.float32).reshape(-1))
        columns = {
            "id": pa.array(self.ids.tolist(), pa.string()),
            "row": pa.array(self.rows, pa.int64()),
            "label": pa.array(self.labels, pa.int64()),
            "predicted": pa.array(self.predicted, pa.int64()),
            "probabilities": pa.FixedSizeListArray.from_arrays(flat, len(self.classes)),
        }
        metadata = {"classes": json.dumps(self.classes, ensure_ascii=False)}
        with writing(path) as aside:
            pq.write_table(pa.table(columns, metadata=metadata), aside)

    @classmethod
    def load(cls, path: Path) -> "Predictions":
        """Read what `save` wrote, bit for bit.

        Raises:
            DataError: when the file is missing, truncated or holds no predictions.
        """
        try:
            table = pq.read_table(path)
            classes = tuple(json.loads(table.schema.metadata[b"classes"]))
            flat = table.column("probabilities").combine_chunks().flatten().to_numpy()
            return cls(
                ids=table.column("id").to_numpy(zero_copy_only=False),
                rows=table.column("row").to_numpy(),
                labels=table.column("label").to_numpy(),
                probabilities=flat.reshape(table.num_rows, len(classes)),
                classes=classes,
            )
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path}: no readable predictions ({error}). Evaluate the run again to remake it."
            ) from error


def predict(
    network: "nn.Module", view: "View", rows: np.ndarray, batch_size: int = 256, workers: int = 0
) -> Predictions:
    """Probabilities of a network for rows of a view, in the order given.

    The network is run in evaluation mode without gradients (dropout off, running statistics used
    and untouched) and left in the mode it came in, submodule by submodule. Softmax is float32
    whatever the network's precision. Crops are those of epoch 0, so a view that crops at random
    gives the same predictions every time.

    Args:
        network: images (B, C, h, w) -> logits (B, K), on the view's device.
        view: renders the images.
        rows: (N,) manifest row numbers; may be empty.
        batch_size: images a forward pass; changes memory and time only.
        workers: threads that prepare the images.

    Raises:
        DataError: when the network gives another number of classes than the data has, or NaN.
    """
    import torch

    from tinyrefinery.data.batches import load

    manifest = view.dataset.manifest
    chunks = [np.empty((0, len(manifest.classes)), np.float32)]
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.inference_mode():
            for batch in load(view, _cut(rows, batch_size), 0, workers=workers):
                logits = network(batch.images)
                if logits.shape[1] != len(manifest.classes):
                    raise DataError(
                        f"the network has {logits.shape[1]} classes but the data has "
                        f"{len(manifest.classes)}; give the network that many outputs"
                    )
                chunks.append(logits.float().softmax(dim=1).cpu().numpy())
    finally:
        for module, mode in modes:
            module.training = mode
    return Predictions(
        ids=manifest.column("id")[rows],
        rows=np.asarray(rows, np.int64),
        labels=manifest.labels[rows],
        probabilities=np.concatenate(chunks),
        classes=tuple(manifest.classes),
    )


def _cut(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
