"""Saliency: which pixels speak for a class, which against it.

`occlusion` asks a network what it says when a patch is hidden (Zeiler & Fergus, arXiv 1311.2901,
section 4.2). It needs no gradients, so it works for anything that maps crops to probabilities, an
integer network on a device too. `gradients` are cheaper a step, for float networks only, by captum.
"""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from tinyrefinery.errors import DataError, RecipeError

Predict = Callable[[Tensor], Tensor]
"""Normalized crops (B, C, h, w) -> probabilities (B, K)."""
GradientMethod = Literal["integrated_gradients", "input_x_gradient", "gradient"]


def corners(size: tuple[int, int], window: int, stride: int) -> np.ndarray:
    """Top and left of square patches that cover an image, (n, 2); the last end at its border."""
    tops, lefts = (
        np.unique(np.minimum(np.arange(0, side, stride), max(side - window, 0))) for side in size
    )
    return np.stack(np.meshgrid(tops, lefts, indexing="ij"), axis=-1).reshape(-1, 2)


def patch_sizes(size: tuple[int, int], window: int | None, stride: int | None) -> tuple[int, int]:
    """Side of the patches and step between them: a quarter of the shorter side, and half of it."""
    window = max(1, min(size) // 4) if window is None else window
    return window, max(1, window // 2) if stride is None else stride


@torch.no_grad()
def occlusion(
    predict: Predict,
    images: Tensor,
    classes: Sequence[int] | np.ndarray,
    *,
    window: int | None = None,
    stride: int | None = None,
    fill: float | Tensor = 0.0,
    batch_size: int = 256,
) -> np.ndarray:
    """What hiding each pixel takes from the probability of a class.

    Each pixel's value is the mean, over the patches that hide it, of the probability with the whole
    image minus that with the patch hidden: in [-1, 1], positive where the pixel speaks for the
    class.

    Args:
        predict: the network, as probabilities.
        images: normalized crops, (B, C, h, w).
        classes: whose probability, one an image, (B,).
        window: side of the square patch in pixels; a quarter of the shorter side when not given.
        stride: step from patch to patch; half a patch when not given.
        fill: what stands in a hidden patch, normalized: 0 is the training images' mean color; or a
            tensor that broadcasts to (C, h, w).
        batch_size: crops that `predict` gets at once.

    Returns:
        Maps, (B, h, w) float64.

    Raises:
        DataError: when the patch, the stride or the classes don't fit the images.
    """
    size = (int(images.shape[-2]), int(images.shape[-1]))
    window, stride = patch_sizes(size, window, stride)
    _check(len(images), len(classes), size, window, stride)
    filling = torch.as_tensor(fill).to(images).expand(images.shape[1:])
    places = corners(size, window, stride)
    maps = np.zeros((len(images), *size))
    for image, wanted, heat in zip(images, classes, maps, strict=True):
        whole = float(predict(image[None])[0, int(wanted)])
        covered = np.zeros(size)
        for start in range(0, len(places), batch_size):  # a few at a time: memory stays small
            some = places[start : start + batch_size]
            said = predict(_hidden(image, some, window, filling))[:, int(wanted)]
            drops = whole - said.double().cpu().numpy()
            for (top, left), drop in zip(some, drops, strict=True):
                heat[top : top + window, left : left + window] += drop
                covered[top : top + window, left : left + window] += 1
        heat /= covered
    return maps


def _hidden(image: Tensor, places: np.ndarray, window: int, filling: Tensor) -> Tensor:
    """The image (C, h, w) with a patch hidden at each of some places, (n, C, h, w)."""
    patched = image.repeat(len(places), 1, 1, 1)
    for each, (top, left) in zip(patched, places, strict=True):
        rows, columns = slice(top, top + window), slice(left, left + window)
        each[:, rows, columns] = filling[:, rows, columns]
    return patched


def _check(images: int, classes: int, size: tuple[int, int], window: int, stride: int) -> None:
    if images != classes:
        raise DataError(f"saliency: {images} images, but {classes} classes; give one an image")
    if not 1 <= window <= min(size):
        raise DataError(
            f"saliency: a patch of {window} pixels doesn't fit images of {size[0]}x{size[1]}"
        )
    if not 1 <= stride <= window:
        raise DataError(
            f"saliency: a stride of {stride} leaves gaps between patches of {window} pixels; "
            f"choose 1 to {window}"
        )


def gradients(
    network: nn.Module,
    images: Tensor,
    classes: Sequence[int] | np.ndarray,
    method: GradientMethod = "integrated_gradients",
) -> np.ndarray:
    """How a class's logit changes with each pixel, summed over the channels.

    Args:
        network: maps crops to logits, in evaluation mode.
        images: normalized crops, (B, C, h, w).
        classes: whose logit, one an image, (B,).
        method: `integrated_gradients` from the mean color in 50 steps (Sundararajan et al.,
            arXiv 1703.01365), whose maps sum to the logit's change; `input_x_gradient`; or
            `gradient`, the absolute one (Simonyan et al., arXiv 1312.6034), which has no sign.

    Returns:
        Maps in logits, (B, h, w) float64.

    Raises:
        RecipeError: when captum is missing.
        DataError: when there is not one class an image.
    """
    if len(images) != len(classes):
        raise DataError(f"saliency: {len(images)} images, but {len(classes)} classes")
    target = torch.as_tensor(np.asarray(classes), device=images.device)
    found = _explainer(network, method)(images.detach().clone().requires_grad_(), target)
    return found.detach().sum(dim=1).double().cpu().numpy()


def _explainer(network: nn.Module, method: GradientMethod) -> Callable[[Tensor, Tensor], Tensor]:
    if find_spec("captum") is None:
        raise RecipeError(
            "saliency by gradients: the package captum is missing; pip install "
            "'tinyrefinery[explain]', or use occlusion"
        )
    from captum.attr import InputXGradient, IntegratedGradients, Saliency

    if method == "integrated_gradients":
        return _with(IntegratedGradients(network), n_steps=50, internal_batch_size=256)
    if method == "input_x_gradient":
        return _with(InputXGradient(network))
    return _with(Saliency(network), abs=True)


def _with(explainer: Any, **options: Any) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda images, target: explainer.attribute(images, target=target, **options)
