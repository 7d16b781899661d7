"""Read crop labels from a store. A refiner labels missing streams on first use."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from tinyrefinery.data.batches import Batch, View
from tinyrefinery.data.device import to_device
from tinyrefinery.errors import CheckpointError, LabelStoreError
from tinyrefinery.labels.crop_labels import CropLabels
from tinyrefinery.labels.store.encodings import Form
from tinyrefinery.labels.store.identity import Facts, differences, facts_of
from tinyrefinery.labels.store.store import LabelStore
from tinyrefinery.losses.targets import Targets

PROBES = 64
PIXEL_STEPS = 256  # steps per gray level in the stored probe crops
PIXEL_TOLERANCE = 0.25  # gray levels: above rounding on other machines, far below another resize
LABEL_TOLERANCE = {"float32": 0.002, "bf16": 0.03}  # share of a label's top probability

log = logging.getLogger("tinyrefinery").info


class StoredLabels:
    """Labels by stream and row. Missing streams are labeled by the refiner and stored first."""

    def __init__(
        self,
        labels: CropLabels,
        root: Path,
        form: Form,
        *,
        workers: int = 0,
        made_with: Mapping[str, Any] | None = None,
    ) -> None:
        """Open the store of these labels under `root`, or create it.

        Args:
            labels: refiner, crops and BN groups.
            root: folder of stores; each is named by the digest of everything its labels depend on.
            form: encoding of the labels.
            workers: threads that load crops for labeling.
            made_with: machine and versions, recorded in a new store for information.

        Raises:
            LabelStoreError: if the store is damaged, or this machine renders or labels the probe
                crops differently.
            CheckpointError: if the refiner predicts NaN or infinity.
        """
        self.labels, self.workers = labels, workers
        facts = facts_of(labels, form)
        folder = LabelStore.folder_of(root, facts)
        if folder.exists():
            self.store = LabelStore(folder)
            if reasons := differences(self.store.facts, facts):
                raise LabelStoreError(
                    f"{folder}: its labels don't match its name: {'; '.join(reasons)}. It was "
                    "copied or renamed. Delete it, or choose another folder for labels.store."
                )
            check_pixels(self.store, labels.view)
            _check_labels(self.store, labels)
        else:
            _log_new_store(root, facts)
            self.store = _create_store(labels, root, facts, made_with or {})
        self._reading = StoreReader(self.store, labels.view, labels.rows)

    def __call__(self, batch: Batch) -> Targets:
        """Targets of the batch, (B, K). Labels its whole stream first if that is missing."""
        stream = self.labels.view.stream(batch.epoch)
        if not self._reading.has(stream):
            self.store.get_or_create(stream, lambda: self.label_stream(stream))
        return self._reading(batch)

    def label_stream(self, stream: int) -> torch.Tensor:
        """Label a whole stream with the refiner: (N, bytes) uint8 in the order of the samples.

        Raises:
            CheckpointError: if the refiner predicts NaN or infinity.
        """
        position = _positions(self.labels.rows)
        records = torch.empty((len(self.store), self.store.form.bytes), dtype=torch.uint8)
        with tqdm(total=len(self.store), desc=f"labels {stream}", disable=None, leave=False) as bar:
            for rows, labels in self.labels.of_stream(stream, workers=self.workers):
                _check_finite(labels, f"stream {stream}")
                # (B, K) -> (B, bytes), to the samples' places
                records[position[rows]] = self.store.form.encode(labels).cpu()
                bar.update(len(rows))
        return records


def _positions(rows: np.ndarray) -> torch.Tensor:
    """Position of each row number in `rows`, (largest row + 1,) int64; -1 for other numbers."""
    positions = np.full(int(rows.max()) + 1, -1, np.int64)
    positions[rows] = np.arange(len(rows))
    return torch.from_numpy(positions)


class StoreReader:
    """Reads targets from a store, for the view whose crops it labels."""

    def __init__(self, store: LabelStore, view: View, rows: np.ndarray) -> None:
        """Read from `store`, whose samples are `rows` in this order."""
        self.store, self.view = store, view
        self._positions = _positions(rows).to(view.device)
        self._stream, self._records = -1, torch.empty(0, dtype=torch.uint8)

    def has(self, stream: int) -> bool:
        """Load the stream, and return whether the store has it."""
        if stream != self._stream:
            self._records = torch.empty(0, dtype=torch.uint8)  # free it before loading the next
            records = self.store.read(stream)
            if records is None:
                self._stream = -1
                return False
            # Move the whole stream to the accelerator once, so that no step waits for it.
            self._records, self._stream = records.to(self.view.device), stream
        return True

    def __call__(self, batch: Batch) -> Targets:
        """Targets of the batch, (B, K).

        Raises:
            LabelStoreError: if the store lacks the stream.
        """
        stream = self.view.stream(batch.epoch)
        if not self.has(stream):
            streams = list(self.store.streams())
            raise LabelStoreError(
                f"{self.store.folder}: has no labels of stream {stream} (it has {len(streams)}: "
                f"{ranges(streams)}). Create them with `tinyrefinery label-store make`."
            )
        position = self._positions.index_select(0, to_device(batch.rows, self.view.device))
        records = self._records.index_select(0, position)  # (N, bytes) -> (B, bytes)
        return self.store.form.decode(records)


def check_pixels(store: LabelStore, view: View) -> None:
    """Check that this machine renders the store's probe crops as its labels need.

    Raises:
        LabelStoreError: if pixels differ, for example because another library version renders them.
    """
    stored = store.probes["pixels"].astype(np.int64)
    error = np.abs(_pixels(view, store.probes["rows"]) - stored).max() / PIXEL_STEPS
    if error > PIXEL_TOLERANCE:
        versions = store.made_with.get("versions", {})
        raise LabelStoreError(
            f"{store.folder}: this machine renders the crops differently, by up to {error:.3g} "
            f"gray levels of 255 (tolerance {PIXEL_TOLERANCE}), so the labels don't belong to "
            f"these pixels. The store was made with {versions or 'unknown versions'}. Install "
            "those and keep data.source.resident unchanged, or choose another folder for "
            "labels.store."
        )


def _check_labels(store: LabelStore, labels: CropLabels) -> None:
    """Check that the refiner labels the probe crops on this machine as in the store."""
    stored = store.probes["labels"]
    error = np.abs(_probe_labels(labels) - stored) / stored.max(axis=1, keepdims=True)
    largest = float(error.max())
    tolerance = LABEL_TOLERANCE["bf16" if labels.refiner.bf16 else "float32"]
    if not largest <= tolerance:
        raise LabelStoreError(
            f"{store.folder}: the refiner labels the probe crops differently on this machine, by "
            f"up to {largest:.3g} of the top probability (tolerance {tolerance}). Choose another "
            "folder for labels.store."
        )


def _create_store(
    labels: CropLabels, root: Path, facts: Mapping[str, Any], made_with: Mapping[str, Any]
) -> LabelStore:
    rows = labels.plan.rows_of(0, 0)[:PROBES]
    probes = {"rows": rows, "pixels": _pixels(labels.view, rows), "labels": _probe_labels(labels)}
    ids = labels.view.dataset.manifest.column("id")[labels.rows]
    return LabelStore.create(root, dict(facts), labels.rows, ids, probes, made_with)


def _pixels(view: View, rows: np.ndarray) -> np.ndarray:
    """Crops of stream 0 in steps of 1 / `PIXEL_STEPS` gray level, (B, C, h, w) uint16."""
    pixels = view.pixels(rows, view.crops(rows, 0))
    return (pixels * PIXEL_STEPS).round().clamp(0, 65535).cpu().numpy().astype(np.uint16)


def _probe_labels(labels: CropLabels) -> np.ndarray:
    """Labels of the probe crops. They are the start of the first BN group, labeled as a whole."""
    batch = labels.view.render(labels.plan.rows_of(0, 0), 0)
    probe_labels = labels.of_group(batch)[:PROBES]
    _check_finite(probe_labels, "the probe crops")
    return probe_labels.cpu().numpy()


def _check_finite(labels: torch.Tensor, what: str) -> None:
    """Refuse NaN and infinity, which most forms can't encode."""
    invalid = int((~labels.isfinite().all(dim=1)).sum())
    if invalid:
        raise CheckpointError(
            f"refiner: {invalid} of {len(labels)} labels of {what} are NaN or infinite, so none "
            "was stored. Its weights or running statistics are damaged. Train it again or choose "
            "another refiner."
        )


def _log_new_store(root: Path, facts: Facts) -> None:
    """Log that a store is created, and why the most similar one under `root` can't be used."""
    others = []
    for path in sorted(Path(root).glob("[!.]*/manifest.json")):
        try:
            others.append((differences(LabelStore(path.parent).facts, facts), path.parent))
        except LabelStoreError as error:
            others.append(([str(error)], path.parent))
    text = f"{LabelStore.folder_of(root, facts)}: new label store"
    if others:
        reasons, nearest = min(others, key=lambda other: len(other[0]))
        text += f". The most similar existing store, {nearest.name}, has {'; '.join(reasons)}"
    log(text)


def ranges(numbers: list[int]) -> str:
    """Ascending numbers, shortened: 0-3, 7, 9-12."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs) or "none"
