"""A network in a packed file (`.packed`): binary or lookup layers, run by our own runtime."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from tinyrefinery.errors import CheckpointError
from tinyrefinery.models.runtime_network import ImageInput, RuntimeNetwork
from tinyrefinery.packed.packed_format import MalformedError
from tinyrefinery.packed.packed_runtime import PackedRuntime
from tinyrefinery.reading.json_text import parse_json_object

PIXELS = "pixels"
"""Fact of the metadata: whether the file takes pixels from 0 to 255 and normalizes them itself."""


class PackedNetwork(RuntimeNetwork):
    """Normalized images (B, C, h, w) -> logits (B, K), in one thread."""

    gives_probabilities = False  # type: ignore[assignment]

    def __init__(
        self,
        path: Path,
        normalization: tuple[Sequence[float], Sequence[float]] | None = None,
        variant: str | None = None,
    ) -> None:
        """Open a file.

        Args:
            path: the file.
            normalization: mean and std of the images that it will be given; None: images in [0, 1].
            variant: of `packed_runtime.variants()`; None: the fastest one.

        Raises:
            CheckpointError: if it is not readable, or not a packed network of images.
        """
        self._content = read_packed_file(path)
        try:
            self.runtime = PackedRuntime(self._content, variant)
        except MalformedError as error:
            raise CheckpointError(f"{path}: {error}. Export it again or restore a copy") from error
        height, width, channels = self.runtime.inputs
        if channels not in (1, 3):
            raise CheckpointError(f"{path}: takes {channels} channels, but images have 1 or 3")
        entry = self.runtime.program.metadata
        facts = parse_json_object(entry, f"{path}: its metadata", error=CheckpointError)
        dtype = np.dtype(np.uint8 if facts.get(PIXELS) is True else np.float32)
        image = ImageInput("image", dtype, (None, height, width, channels))
        super().__init__(path, image, self.runtime.outputs, normalization)

    @property
    def content_digest(self) -> str:
        """SHA-256 of the file."""
        return sha256(self._content).hexdigest()

    def read_entry(self) -> str | None:
        """The JSON of our entry in the file's metadata; None if it has none."""
        return self.runtime.program.metadata or None

    def infer(self, encoded: np.ndarray) -> np.ndarray:
        """Logits (B, K) for what the file takes, (B, h, w, C)."""
        return self.runtime.run(encoded.astype(np.float32, copy=False))


def read_packed_file(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        CheckpointError: if it can't be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read ({error.strerror or error})") from error
