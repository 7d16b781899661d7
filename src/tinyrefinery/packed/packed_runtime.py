"""Run packed networks: by the extension in C where it was built, else by NumPy."""

import threading
from typing import Any

import numpy as np

from tinyrefinery.packed.numpy_steps import run_program
from tinyrefinery.packed.packed_format import MalformedError, read_packed
from tinyrefinery.packed.program import ALIGNMENT

try:
    from tinyrefinery.packed import _native as native  # type: ignore[attr-defined]
except ImportError:
    native: Any = None

NUMPY = "numpy"


def variants() -> list[str]:
    """Ways to run packed networks on this machine, fastest first; the last one is `numpy`."""
    return [*(native.variants() if native else []), NUMPY]


class PackedRuntime:
    """A packed network in memory. Any number of threads may run it at once."""

    def __init__(self, content: bytes, variant: str | None = None) -> None:
        """Open the bytes of a file.

        Args:
            content: of the file.
            variant: of `variants()`; None: the fastest one.

        Raises:
            MalformedError: if they are not a packed network.
            ValueError: if this machine has no such variant.
        """
        names = variants()
        self.variant = names[0] if variant is None else variant
        if self.variant not in names:
            raise ValueError(f"there is no variant {variant!r} here, only {', '.join(names)}")
        self.program = read_packed(content)
        self._threads = threading.local()
        self._number, self._model = names.index(self.variant), None
        if self.variant != NUMPY:
            self._model = _open(_aligned(content))

    @property
    def inputs(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return self.program.values[self.program.input].shape

    @property
    def outputs(self) -> int:
        """Numbers per image."""
        height, width, channels = self.program.values[self.program.output].shape
        return height * width * channels

    def run(self, images: np.ndarray) -> np.ndarray:
        """Outputs (N, K) float32 for images (N, H, W, C) float32.

        Raises:
            ValueError: if the images have another shape.
        """
        if images.shape[1:] != self.inputs:
            raise ValueError(f"expected images of {self.inputs}, not {images.shape[1:]}")
        images = np.ascontiguousarray(images, np.float32)
        outputs = np.empty((len(images), self.outputs), np.float32)
        if self._model is None:
            for number, image in enumerate(images):
                outputs[number] = run_program(self.program, image)
        else:
            native.run(self._model, self._number, len(images), images, outputs, self._arena())
        return outputs

    def _arena(self) -> np.ndarray:
        """Memory of the calling thread, kept for its next call."""
        arena = getattr(self._threads, "arena", None)
        if arena is None:
            arena = self._threads.arena = _block(max(self.program.arena, 1))
        return arena


def _block(size: int) -> np.ndarray:
    """Aligned bytes, all 0."""
    memory = np.zeros(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size]


def _aligned(content: bytes) -> np.ndarray:
    block = _block(len(content))
    block[:] = np.frombuffer(content, np.uint8)
    return block


def _open(content: np.ndarray) -> Any:
    try:
        return native.open(content)
    except ValueError as error:
        raise MalformedError(str(error)) from error
