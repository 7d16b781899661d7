"""The pictures of a queue: as their source has them, and as the network sees them."""

import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from PIL import Image

from tinyrefinery.data.batches import View
from tinyrefinery.data.crops import CropSpec
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.open import open_data
from tinyrefinery.data.overlay.additions import with_additions
from tinyrefinery.data.overlay.decisions import read_decisions
from tinyrefinery.data.sources.folder import open_unlabeled
from tinyrefinery.errors import DataError
from tinyrefinery.pages.overlays import as_image
from tinyrefinery.review.queue import Queue

LONGEST = 1600
"""Pixels; larger sources are shrunk to it."""
TAKEN_ALONG = 640
"""The same in a page that is taken along, whose size counts."""
_CHOOSES = ("overlay", "train_limit", "validation_limit", "test_limit")
"""Options that leave images out. A queue's pictures must be there after its own decisions too."""
UNLABELLED = "unlabelled"
"""Name, in a queue, of a source that is a folder of images without labels."""


def open_queue_data(queue: Queue) -> list[Dataset]:
    """The data that a queue's images are of.

    Raises:
        DataError: when it can't be opened.
    """
    opened = []
    for source in queue.data:
        options = {key: value for key, value in source.items() if key not in _CHOOSES}
        name = str(options.pop("name", ""))
        if name == UNLABELLED:
            channels = 1 if queue.channels == 1 else 3
            opened.append(open_unlabeled(options["root"], channels=channels))
        else:
            found = open_data(name, **options)
            opened.append(_with_additions(found, source.get("overlay")))
    return opened


def _with_additions(dataset: Dataset, overlay: str | None) -> Dataset:
    """The data with the new images of an overlay, but without what was decided of any."""
    if overlay is None:
        return dataset
    path = Path(overlay).expanduser()
    return with_additions(dataset, path, read_decisions(path))


class Pictures:
    """Pictures by image, encoded for a browser; safe to use from several threads."""

    def __init__(self, queue: Queue, data: Sequence[Dataset]) -> None:
        spec = CropSpec("center", queue.size, resize=queue.resize)
        mean, std = (0.0,) * queue.channels, (1.0,) * queue.channels
        self._views = [View(each, spec, 0, mean, std, torch.device("cpu")) for each in data]
        self._lock = Lock()
        self._place: dict[str, tuple[int, int]] = {}
        for number, each in enumerate(data):
            for row, identity in enumerate(each.manifest.column("id")):
                self._place.setdefault(str(identity), (number, row))
        missing = [item for item in queue.items if item.uid not in self._place]
        if missing:
            raise DataError(
                f"{len(missing)} of the queue's {len(queue.items)} images are not in its data, "
                f"first {missing[0].file_name}; mine the queue again"
            )
        self.encoded = lru_cache(maxsize=256)(self._encoded)

    def pixels(self, uid: str, kind: str) -> np.ndarray:
        """uint8 (H, W, C): `source`, or `seen` at the network's input size."""
        number, row = self._place[uid]
        view, rows = self._views[number], np.array([row])
        with self._lock:
            if kind == "source":
                return view.dataset.images.pixels(row)
            pixels = view.pixels(rows, view.crops(rows, 0))[0]
        return np.clip(np.rint(pixels.permute(1, 2, 0).numpy()), 0, 255).astype(np.uint8)

    def _encoded(self, uid: str, kind: str, longest: int = LONGEST) -> tuple[str, bytes]:
        """MIME type and bytes."""
        image = as_image(self.pixels(uid, kind))
        if max(image.size) > longest:
            image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
        small = image.width * image.height <= 1 << 16
        buffer = io.BytesIO()
        image.save(buffer, "PNG") if small else image.save(buffer, "JPEG", quality=90)
        return "image/png" if small else "image/jpeg", buffer.getvalue()


def folder_source(root: Path) -> dict[str, str]:
    """A folder of images without labels, as a queue names it."""
    return {"name": UNLABELLED, "root": str(root)}
