"""Values that go into a deployed network file and come out of it, whatever its format."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


def to_pixels(images: np.ndarray) -> np.ndarray:
    """Pixels (B, C, h, w) float in 0 to 255 -> (B, h, w, C) uint8, rounded and clipped."""
    whole = np.clip(np.rint(images), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(whole.transpose(0, 2, 3, 1))


def looks_like_probabilities(
    run: Callable[[np.ndarray], np.ndarray],
    channels: int,
    size: tuple[int, int],
    *,
    pixels: bool,
) -> bool:
    """Whether a file's outputs on random images are never negative and sum to one.

    Args:
        run: images (B, C, h, w) float32 -> outputs (B, K).
        channels: of the images.
        size: height, width in pixels.
        pixels: whether the images are pixels in 0 to 255; else they are normalized.
    """
    random = np.random.default_rng(0)
    probe = random.standard_normal((8, channels, *size))
    probe[0], probe[1] = 0, 1
    if pixels:
        probe = np.clip(128 + 64 * probe, 0, 255)
    outputs = run(probe.astype(np.float32))
    # With 8 bits per probability, each is wrong by at most half a step.
    tolerance = min(1e-3 + outputs.shape[1] / 512, 0.25)
    return bool((outputs >= 0).all() and (np.abs(outputs.sum(axis=1) - 1) < tolerance).all())


def logits_of(outputs: Tensor, *, probabilities: bool) -> Tensor:
    """Logits (B, K) from a file's outputs: logarithms if the outputs are probabilities."""
    return outputs.clamp(min=torch.finfo(torch.float32).tiny).log() if probabilities else outputs
