"""Labels of crops from a store, which a refiner fills as they are first needed."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from tinyrefinery.data.batches import Batch, View
from tinyrefinery.data.moving import moved
from tinyrefinery.errors import CheckpointError, LabelStoreError
from tinyrefinery.labels.crop_labels import CropLabels
from tinyrefinery.labels.store.encodings import Form
from tinyrefinery.labels.store.identity import Facts, differences, facts_of
from tinyrefinery.labels.store.store import LabelStore
from tinyrefinery.losses.targets import Targets

PROBES = 64
PIXEL_STEPS = 256  # a grey level
PIXEL_TOLERANCE = 0.25  # of 255: above rounding on other machines, far below another resize
LABEL_TOLERANCE = {"float32": 0.002, "bf16": 0.03}  # of a label's top probability

say = logging.getLogger("tinyrefinery").info


class StoredLabels:
    """Reads labels by (stream, row); what isn't there yet is labelled first, a stream at a time."""

    def __init__(
        self,
        labels: CropLabels,
        root: Path,
        form: Form,
        *,
        workers: int = 0,
        made_with: Mapping[str, Any] | None = None,
    ) -> None:
        """Open the store of these labels under `root`, or begin it.

        Args:
            labels: how they are made.
            root: a folder of stores; each is named by the digest of what its labels depend on.
            form: how they are written.
            workers: threads that prepare crops to be labelled.
            made_with: machine and versions, noted in a new store for people.

        Raises:
            LabelStoreError: when the store is damaged, or crops or labels come out otherwise here.
            CheckpointError: when the refiner's labels are no numbers.
        """
        self.labels, self.workers = labels, workers
        facts = facts_of(labels, form)
        folder = LabelStore.place(root, facts)
        if folder.exists():
            self.store = LabelStore(folder)
            if reasons := differences(self.store.facts, facts):
                raise LabelStoreError(
                    f"{folder}: holds other labels than its name says: {'; '.join(reasons)}; it "
                    "was copied or renamed: delete it, or name another folder for labels.store"
                )
            check_pixels(self.store, labels.view)
            _check_labels(self.store, labels)
        else:
            _tell_nearest(root, facts)
            self.store = _begin(labels, root, facts, made_with or {})
        self._reading = Reading(self.store, labels.view, labels.rows)

    def __call__(self, batch: Batch) -> Targets:
        """Targets of the batch, (B, K)."""
        stream = self.labels.view.stream(batch.epoch)
        if not self._reading.has(stream):
            self.store.made(stream, lambda: self.make(stream))
        return self._reading(batch)

    def make(self, stream: int) -> torch.Tensor:
        """Label a whole stream, uint8 (N, bytes) in the order of the store's samples.

        Raises:
            CheckpointError: when the refiner's labels are no numbers.
        """
        place = np.full(int(self.labels.rows.max()) + 1, -1)
        place[self.labels.rows] = np.arange(len(self.labels.rows))
        records = torch.empty((len(self.store), self.store.form.bytes), dtype=torch.uint8)
        with tqdm(total=len(self.store), desc=f"labels {stream}", disable=None, leave=False) as bar:
            for rows, labels in self.labels.of_stream(stream, workers=self.workers):
                _check_numbers(labels, f"stream {stream}")
                records[torch.from_numpy(place[rows])] = self.store.form.encode(labels).cpu()
                bar.update(len(rows))
        return records


class Reading:
    """Targets out of a store, for a view whose crops it labels."""

    def __init__(self, store: LabelStore, view: View, rows: np.ndarray) -> None:
        """Read labels of samples `rows`, which the store holds in this order."""
        self.store, self.view = store, view
        place = np.full(int(rows.max()) + 1, -1, np.int64)
        place[rows] = np.arange(len(rows))
        self._place = torch.from_numpy(place).to(view.device)
        self._stream, self._records = -1, torch.empty(0, dtype=torch.uint8)

    def has(self, stream: int) -> bool:
        """Whether the stream is there; it is then at hand."""
        if stream != self._stream:
            self._records = torch.empty(0, dtype=torch.uint8)  # before there are two
            records = self.store.read(stream)
            if records is None:
                self._stream = -1
                return False
            # On an accelerator the whole stream moves there once, so that no step waits for it.
            self._records, self._stream = records.to(self.view.device), stream
        return True

    def __call__(self, batch: Batch) -> Targets:
        """Targets of the batch, (B, K).

        Raises:
            LabelStoreError: when the store lacks the stream.
        """
        stream = self.view.stream(batch.epoch)
        if not self.has(stream):
            there = list(self.store.streams())
            raise LabelStoreError(
                f"{self.store.folder}: has no labels of stream {stream} (it has {len(there)}: "
                f"{ranges(there)}); make them with `tinyrefinery label-store make`"
            )
        place = self._place.index_select(0, moved(batch.rows, self.view.device))
        records = self._records.index_select(0, place)
        return self.store.form.decode(records)


def check_pixels(store: LabelStore, view: View) -> None:
    """See whether the store's probe crops come out alike here.

    Raises:
        LabelStoreError: when they don't: a library renders crops differently.
    """
    known = store.probes["pixels"].astype(np.int64)
    off = np.abs(_pixels(view, store.probes["rows"]) - known).max() / PIXEL_STEPS
    if off > PIXEL_TOLERANCE:
        made = store.made_with.get("versions", {})
        raise LabelStoreError(
            f"{store.folder}: crops come out differently here, by up to {off:.3g} of 255 grey "
            f"levels (tolerance {PIXEL_TOLERANCE}), so its labels belong to other pixels. It was "
            f"made with {made or 'unknown versions'}; install those and keep data.source.resident "
            "as it was, or name another folder for labels.store"
        )


def _check_labels(store: LabelStore, labels: CropLabels) -> None:
    """See whether the refiner labels the probe crops alike here."""
    known = store.probes["labels"]
    off = float((np.abs(_probe_labels(labels) - known) / known.max(axis=1, keepdims=True)).max())
    tolerance = LABEL_TOLERANCE["bf16" if labels.refiner.bf16 else "float32"]
    if not off <= tolerance:
        raise LabelStoreError(
            f"{store.folder}: the refiner labels the probe crops differently here, by up to "
            f"{off:.3g} of the top probability (tolerance {tolerance}); name another folder for "
            "labels.store"
        )


def _begin(
    labels: CropLabels, root: Path, facts: Mapping[str, Any], made_with: Mapping[str, Any]
) -> LabelStore:
    rows = labels.plan.rows_of(0, 0)[:PROBES]
    probes = {"rows": rows, "pixels": _pixels(labels.view, rows), "labels": _probe_labels(labels)}
    ids = labels.view.dataset.manifest.column("id")[labels.rows]
    return LabelStore.create(root, dict(facts), labels.rows, ids, probes, made_with)


def _pixels(view: View, rows: np.ndarray) -> np.ndarray:
    pixels = view.pixels(rows, view.crops(rows, 0))
    return (pixels * PIXEL_STEPS).round().clamp(0, 65535).cpu().numpy().astype(np.uint16)


def _probe_labels(labels: CropLabels) -> np.ndarray:
    """Labels of the first BN group of stream 0, which the probes are part of."""
    batch = labels.view.render(labels.plan.rows_of(0, 0), 0)
    found = labels.of_group(batch)[:PROBES]
    _check_numbers(found, "the probe crops")
    return found.cpu().numpy()


def _check_numbers(labels: torch.Tensor, what: str) -> None:
    """Refuse labels that are no numbers: most forms have no way to write that down."""
    unsound = int((~labels.isfinite().all(dim=1)).sum())
    if unsound:
        raise CheckpointError(
            f"refiner: {unsound} of {len(labels)} labels of {what} are no numbers, so none was "
            "stored; its weights or running statistics are unsound: train it anew, or name "
            "another refiner"
        )


def _tell_nearest(root: Path, facts: Facts) -> None:
    """Say why the store under `root` that comes nearest doesn't serve."""
    found = []
    for path in sorted(Path(root).glob("[!.]*/manifest.json")):
        try:
            found.append((differences(LabelStore(path.parent).facts, facts), path.parent))
        except LabelStoreError as error:
            found.append(([str(error)], path.parent))
    new = f"{LabelStore.place(root, facts)}: a new store of labels"
    if found:
        reasons, nearest = min(found, key=lambda each: len(each[0]))
        new += f"; of {len(found)} others the nearest, {nearest.name}, has {'; '.join(reasons)}"
    say(new)


def ranges(numbers: list[int]) -> str:
    """Numbers in ascending order, shortened: 0-3, 7, 9-12."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts) or "none"
