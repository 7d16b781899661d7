"""The pictures of a queue: as in the source, and as the network's input."""

import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from PIL import Image

from tinyrefinery.data.batches import View
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.open import open_data
from tinyrefinery.data.overlay.additions import with_additions
from tinyrefinery.data.overlay.decisions import read_decisions
from tinyrefinery.data.sources.folder import open_unlabeled
from tinyrefinery.errors import DataError
from tinyrefinery.options.crops import Center
from tinyrefinery.pages.overlays import as_image
from tinyrefinery.review.queue import Queue

LONGEST = 1600
"""Pixels per side. Larger images are downscaled."""
STATIC_LONGEST = 640
"""The same for a static page, to limit its file size."""
_FILTERS = ("overlay", "train_limit", "validation_limit", "test_limit")
"""Options that leave images out. A queue still needs the pictures of images that it dropped."""
UNLABELED = "unlabeled"
"""Name, in a queue, of a source that is a folder of images without labels."""


def open_queue_data(queue: Queue) -> list[Dataset]:
    """Open the datasets of a queue's images.

    Raises:
        DataError: when one can't be opened.
    """
    datasets = []
    for source in queue.data:
        options = {key: value for key, value in source.items() if key not in _FILTERS}
        name = str(options.pop("name", ""))
        if name == UNLABELED:
            channels = 1 if queue.channels == 1 else 3
            datasets.append(open_unlabeled(options["root"], channels))
        else:
            dataset = open_data(name, **options)
            datasets.append(_with_additions(dataset, source.get("overlay")))
    return datasets


def _with_additions(dataset: Dataset, overlay: str | None) -> Dataset:
    """Add the new images of an overlay, but apply none of its decisions."""
    if overlay is None:
        return dataset
    path = Path(overlay).expanduser()
    return with_additions(dataset, path, read_decisions(path))


class Pictures:
    """Pictures of a queue, encoded for a browser. Thread-safe."""

    def __init__(self, queue: Queue, data: Sequence[Dataset]) -> None:
        crop = Center(size=queue.size, resize=queue.resize)
        mean, std = (0.0,) * queue.channels, (1.0,) * queue.channels
        cpu = torch.device("cpu")
        self._views = [View(dataset, crop, 0, mean, std, cpu) for dataset in data]
        self._lock = Lock()
        self._place: dict[str, tuple[int, int]] = {}
        for number, dataset in enumerate(data):
            for row, identity in enumerate(dataset.manifest.column("id")):
                self._place.setdefault(str(identity), (number, row))
        missing = [item for item in queue.items if item.uid not in self._place]
        if missing:
            raise DataError(
                f"{len(missing)} of the queue's {len(queue.items)} images are not in its data, "
                f"first {missing[0].file_name}: mine the queue again"
            )
        self.encoded = lru_cache(maxsize=256)(self._encoded)

    def pixels(self, uid: str, kind: str) -> np.ndarray:
        """uint8 (H, W, C): `source` is the original, `seen` the network's input."""
        number, row = self._place[uid]
        view, rows = self._views[number], np.array([row])
        with self._lock:
            if kind == "source":
                return view.dataset.images.pixels(row)
            pixels = view.pixels(rows, view.crops(rows, 0))[0]  # (C, H, W)
        return np.clip(np.rint(pixels.permute(1, 2, 0).numpy()), 0, 255).astype(np.uint8)

    def _encoded(self, uid: str, kind: str, longest: int = LONGEST) -> tuple[str, bytes]:
        """MIME type and bytes: PNG for small images, else JPEG."""
        image = as_image(self.pixels(uid, kind))
        if max(image.size) > longest:
            image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
        small = image.width * image.height <= 1 << 16
        buffer = io.BytesIO()
        image.save(buffer, "PNG") if small else image.save(buffer, "JPEG", quality=90)
        return "image/png" if small else "image/jpeg", buffer.getvalue()


def folder_source(root: Path) -> dict[str, str]:
    """A folder of images without labels, as a data source of a queue."""
    return {"name": UNLABELED, "root": str(root)}
