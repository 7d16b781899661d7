"""Saliency maps: which pixels support a class, and which contradict it.

`occlusion` measures the change of the prediction when a patch is hidden (Zeiler & Fergus, arXiv
1311.2901, section 4.2). It needs no gradients, so it works for anything that maps crops to
probabilities, including an integer network on a device. `gradients` are cheaper, but need a float
network and captum.
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
    """Top and left of square patches that cover an image, (n, 2). The last end at its border."""
    tops, lefts = (
        np.unique(np.minimum(np.arange(0, side, stride), max(side - window, 0))) for side in size
    )
    return np.stack(np.meshgrid(tops, lefts, indexing="ij"), axis=-1).reshape(-1, 2)


def patch_sizes(size: tuple[int, int], window: int | None, stride: int | None) -> tuple[int, int]:
    """Side of and distance between the patches, by default a quarter and an eighth of the image."""
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
    """Compute how much of a class's probability is lost by hiding each pixel.

    A pixel's value is the mean, over the patches that hide it, of the probability with the whole
    image minus the one with the patch hidden. It is in [-1, 1], and positive where the pixel
    supports the class.

    Args:
        predict: the network, as probabilities.
        images: normalized crops, (B, C, h, w).
        classes: the class to explain per image, (B,).
        window: side of the square patch in pixels; by default, a quarter of the shorter side.
        stride: distance between patches in pixels; by default, half a patch.
        fill: normalized value of hidden pixels, where 0 is the training images' mean color, or a
            tensor that broadcasts to (C, h, w).
        batch_size: crops per call of `predict`.

    Returns:
        Maps, (B, h, w) float64.

    Raises:
        DataError: when the patch, the stride or the classes don't fit the images.
    """
    size = (int(images.shape[-2]), int(images.shape[-1]))
    window, stride = patch_sizes(size, window, stride)
    _check(len(images), len(classes), size, window, stride)
    filling = torch.as_tensor(fill).to(images).expand(images.shape[1:])
    patches = corners(size, window, stride)
    maps = np.zeros((len(images), *size))
    for image, label, heat in zip(images, classes, maps, strict=True):
        whole = float(predict(image[None])[0, int(label)])
        covered = np.zeros(size)
        for start in range(0, len(patches), batch_size):  # bounds memory
            batch = patches[start : start + batch_size]
            probabilities = predict(_hidden(image, batch, window, filling))[:, int(label)]  # (n,)
            drops = whole - probabilities.double().cpu().numpy()
            for (top, left), drop in zip(batch, drops, strict=True):
                heat[top : top + window, left : left + window] += drop
                covered[top : top + window, left : left + window] += 1
        heat /= covered
    return maps


def _hidden(image: Tensor, patches: np.ndarray, window: int, filling: Tensor) -> Tensor:
    """Copies (n, C, h, w) of the image (C, h, w), each with one of the patches (n, 2) hidden."""
    copies = image.repeat(len(patches), 1, 1, 1)
    for copy, (top, left) in zip(copies, patches, strict=True):
        rows, columns = slice(top, top + window), slice(left, left + window)
        copy[:, rows, columns] = filling[:, rows, columns]
    return copies


def _check(images: int, classes: int, size: tuple[int, int], window: int, stride: int) -> None:
    if images != classes:
        raise DataError(f"saliency: {images} images need one class each, but there are {classes}")
    if not 1 <= window <= min(size):
        raise DataError(
            f"saliency: a patch of {window} pixels doesn't fit images of {size[0]}x{size[1]} "
            f"pixels: choose 1 to {min(size)}"
        )
    if not 1 <= stride <= window:
        raise DataError(
            f"saliency: a stride of {stride} leaves gaps between patches of {window} pixels: "
            f"choose 1 to {window}"
        )


def gradients(
    network: nn.Module,
    images: Tensor,
    classes: Sequence[int] | np.ndarray,
    method: GradientMethod = "integrated_gradients",
) -> np.ndarray:
    """Compute the attribution of a class's logit to each pixel, summed over the channels.

    Args:
        network: maps crops to logits, in evaluation mode.
        images: normalized crops, (B, C, h, w).
        classes: the class to explain per image, (B,).
        method: `integrated_gradients` from the mean color in 50 steps (Sundararajan et al.,
            arXiv 1703.01365), whose maps sum to the logit's change; `input_x_gradient`; or
            `gradient`, the absolute one (Simonyan et al., arXiv 1312.6034), which has no sign.

    Returns:
        Maps in logits, (B, h, w) float64.

    Raises:
        RecipeError: when captum is missing.
        DataError: when there is not one class per image.
    """
    if len(images) != len(classes):
        raise DataError(
            f"saliency: {len(images)} images need one class each, but there are {len(classes)}"
        )
    target = torch.as_tensor(np.asarray(classes), device=images.device)
    attribute = _attribution(network, method)
    maps = attribute(images.detach().clone().requires_grad_(), target)  # (B, C, h, w)
    return maps.detach().sum(dim=1).double().cpu().numpy()


def _attribution(network: nn.Module, method: GradientMethod) -> Callable[[Tensor, Tensor], Tensor]:
    if find_spec("captum") is None:
        raise RecipeError(
            "saliency by gradients: the package captum is missing: pip install "
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
