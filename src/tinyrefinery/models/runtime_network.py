"""A network in a file that a runtime other than PyTorch runs: ONNX Runtime or LiteRT.

The file has one input of images and its first output is (N, K). The input is one of:

- float, normalized images;
- uint8 or int8 pixels: 0 to 255, or less 128 for int8. Normalization is then inside the file, by an
  operator or by the scale and the zero point of the pixels;
- uint8 or int8 numbers that stand for normalized images, by a scale and a zero point.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tinyrefinery.errors import CheckpointError
from tinyrefinery.reading.json_text import parse_json_object

ENTRY = "tinyrefinery"
"""Name of our entry in a file's metadata: the fields of `NetworkInfo`, and more, as JSON."""
_PIXEL_RANGES = (1.0, 255.0)
"""Ranges of integer inputs whose 256 steps are the pixels themselves."""
INSIDE = "inside"
"""What our entry states as `preprocessing` if the file takes pixels."""


@dataclass(frozen=True)
class ImageInput:
    """The input of a file."""

    name: str
    dtype: np.dtype
    """float32, uint8 or int8."""
    shape: tuple[int | None, ...]
    """Four sizes; None: any."""
    scale: float = 0.0
    """Real numbers per step of an integer input; 0: not stated."""
    zero: int = 0
    """The integer that stands for 0."""
    holds_pixels: bool = False
    """Whether the file states that its integers are the pixels, whatever they stand for."""

    @property
    def channels_last(self) -> bool:
        """Whether images are (N, H, W, C); else they are (N, C, H, W)."""
        return self.shape[1] not in (1, 3) and self.shape[3] in (1, 3)

    @property
    def channels(self) -> int:
        """1 or 3."""
        return int(self.shape[3 if self.channels_last else 1] or 0)

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the images in pixels; None: any."""
        height, width = self.shape[1:3] if self.channels_last else self.shape[2:4]
        return None if height is None or width is None else (height, width)

    @property
    def batch(self) -> int | None:
        """Fixed batch size; None: any."""
        return self.shape[0]

    @property
    def takes_pixels(self) -> bool:
        """Whether its integers are the pixels."""
        if self.dtype.kind == "f":
            return False
        lowest = (np.iinfo(self.dtype).min - self.zero) * self.scale
        is_pixel_range = any(np.isclose(self.scale * 255, r, rtol=1e-3) for r in _PIXEL_RANGES)
        is_usual = self.scale == 0 or (is_pixel_range and abs(lowest) <= self.scale)
        return self.holds_pixels or is_usual

    def encode(self, images: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
        """What the file takes for normalized images (B, C, h, w) float32.

        Args:
            images: to encode.
            mean: subtracted from each channel of images in [0, 1] before.
            std: what each channel was then divided by.
        """
        if self.takes_pixels:
            shift, factor = (np.asarray(v, np.float32).reshape(-1, 1, 1) for v in (mean, std))
            pixels = np.rint((images * factor + shift) * 255)
            encoded = np.clip(pixels, 0, 255).astype(np.int16) + np.iinfo(self.dtype).min
        elif self.dtype.kind == "f":
            encoded = images
        else:
            limits = np.iinfo(self.dtype)
            encoded = np.clip(np.rint(images / self.scale) + self.zero, limits.min, limits.max)
        encoded = encoded.astype(self.dtype, copy=False)
        # (B, C, h, w) -> (B, h, w, C)
        return encoded.transpose(0, 2, 3, 1) if self.channels_last else encoded


class RuntimeNetwork(nn.Module, ABC):
    """Normalized images (B, C, h, w) -> logits (B, K). It has no torch parameters."""

    has_gradient = False

    def __init__(
        self,
        path: Path,
        input: ImageInput,
        outputs: int | None,
        normalization: tuple[Sequence[float], Sequence[float]] | None,
    ) -> None:
        super().__init__()
        self.path, self.input = path, input
        self.channels, self.size, self.batch = input.channels, input.size, input.batch
        self.outputs = 2 if outputs == 1 else outputs
        """Number of classes; None if the file doesn't fix it. A single output stands for two."""
        ones = (1.0,) * self.channels
        self._mean, self._std = normalization or ((0.0,) * self.channels, ones)

    def __deepcopy__(self, memo: Any) -> "RuntimeNetwork":
        """Itself: sessions of runtimes can't be copied, and nothing in them changes."""
        return self

    @cached_property
    def identity(self) -> str:
        """SHA-256 of all that outputs depend on besides the images."""
        normalization = [list(map(float, values)) for values in (self._mean, self._std)]
        return sha256(f"{self.content_digest} {normalization}".encode()).hexdigest()

    @property
    @abstractmethod
    def content_digest(self) -> str:
        """SHA-256 of the file, and of the files of weights that belong to it."""

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """Our entry in the file's metadata; empty if it has none.

        Raises:
            CheckpointError: if the entry is damaged.
        """
        text = self.read_entry()
        if text is None:
            return {}
        where = f"{self.path}: its metadata entry '{ENTRY}'"
        return parse_json_object(text, where, "Export it again.", CheckpointError)

    @abstractmethod
    def read_entry(self) -> str | bytes | None:
        """The JSON of our entry in the file's metadata; None if it has none."""

    @abstractmethod
    def infer(self, encoded: np.ndarray) -> np.ndarray:
        """Outputs (B, K) for what the file takes, in one call of the runtime."""

    @property
    def normalization(self) -> dict[str, tuple[float, ...]]:
        """Mean and std where the file fixes them, else nothing.

        A file that takes pixels normalizes them itself: any mean and std do, so none are needed.
        """
        if not self.input.takes_pixels:
            return {}
        return {"mean": (0.0,) * self.channels, "std": (1.0,) * self.channels}

    @cached_property
    def gives_probabilities(self) -> bool:
        """Whether the outputs are probabilities; else they are logits.

        Measured once, on random images, so that it can't change from batch to batch.
        """
        size = self.size or (64, 64)  # our choice: can be halved many times
        draws = np.random.default_rng(0)
        probe = draws.standard_normal((8, self.channels, *size))
        if self.input.takes_pixels:
            probe = draws.uniform(0, 1, probe.shape)
        probe[0], probe[1] = 0, 1
        outputs = self._outputs(probe.astype(np.float32))
        if outputs.shape[1] == 1:
            return bool((outputs >= 0).all() and (outputs <= 1).all())
        # With 8 bits per probability, each is wrong by at most half a step.
        tolerance = min(1e-3 + outputs.shape[1] / 512, 0.25)
        return bool((outputs >= 0).all() and (np.abs(outputs.sum(axis=1) - 1) < tolerance).all())

    def run(self, images: np.ndarray) -> np.ndarray:
        """Outputs of the file, (B, K) float32. A single output p becomes (1 - p, p) or (0, p).

        Args:
            images: (B, C, h, w) float32, normalized. If the batch size is fixed, batches are padded
                to it.

        Raises:
            CheckpointError: if the file can't run on them, or its output has another shape.
        """
        outputs = self._outputs(images)
        if outputs.shape[1] > 1:
            return outputs
        other = 1 - outputs if self.gives_probabilities else np.zeros_like(outputs)
        return np.concatenate([other, outputs], axis=1)

    def _outputs(self, images: np.ndarray) -> np.ndarray:
        step = self.batch or max(len(images), 1)
        starts = range(0, max(len(images), 1), step)
        return np.concatenate([self._batch(images[start : start + step]) for start in starts])

    def _batch(self, images: np.ndarray) -> np.ndarray:
        missing = self.batch - len(images) if self.batch else 0
        padding = np.zeros((missing, *images.shape[1:]), np.float32)
        encoded = self.input.encode(np.r_[images, padding], self._mean, self._std)
        try:
            outputs = np.asarray(self.infer(np.ascontiguousarray(encoded)))
        except Exception as error:  # the runtimes' exceptions have no common public base
            raise CheckpointError(
                f"{self.path}: can't run on images of shape {images.shape[1:]} ({error})"
            ) from error
        if outputs.ndim != 2 or len(outputs) != len(images) + missing:
            raise CheckpointError(
                f"{self.path}: its first output has shape {outputs.shape} for "
                f"{len(images) + missing} images; expected (N, classes)"
            )
        if not np.isfinite(outputs).all():
            raise CheckpointError(
                f"{self.path}: its outputs aren't finite. Check that mean and std of the input are "
                "those that it was trained with."
            )
        return np.asarray(outputs[: len(images)], np.float32)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K) float32; logarithms if the file outputs probabilities."""
        outputs = torch.from_numpy(self.run(images.detach().float().cpu().numpy()))
        if self.gives_probabilities:
            outputs = outputs.clamp(min=torch.finfo(torch.float32).tiny).log()
        return outputs.to(images.device)


def runtime_threads() -> int:
    """Number of threads of a runtime, set as for torch; 0: the runtime's choice."""
    value = os.environ.get("OMP_NUM_THREADS", "")
    return int(value) if value.isdigit() else 0
