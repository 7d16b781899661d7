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


def windows(size: tuple[int, int], window: int, stride: int) -> np.ndarray:
    """Square patches that cover an image, (n, h, w) bool; the last ones end at its border."""
    starts = [
        np.unique(np.minimum(np.arange(0, side, stride), max(side - window, 0))) for side in size
    ]
    masks = np.zeros((len(starts[0]) * len(starts[1]), *size), bool)
    corners = [(top, left) for top in starts[0] for left in starts[1]]
    for mask, (top, left) in zip(masks, corners, strict=True):
        mask[top : top + window, left : left + window] = True
    return masks


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
    window = max(1, min(size) // 4) if window is None else window
    stride = max(1, window // 2) if stride is None else stride
    _check(len(images), len(classes), size, window, stride)
    masks = windows(size, window, stride)
    hidden = torch.from_numpy(masks)[:, None].to(images.device)
    covered = masks.sum(axis=0)
    maps = []
    for image, wanted in zip(images, classes, strict=True):
        patched = torch.where(hidden, torch.as_tensor(fill).to(image), image)
        shown = torch.cat([image[None], patched])
        said = torch.cat([predict(part) for part in shown.split(batch_size)])
        probability = said[:, int(wanted)].double().cpu().numpy()
        drops = probability[0] - probability[1:]
        maps.append(np.tensordot(drops, masks, axes=1) / covered)
    return np.stack(maps) if maps else np.zeros((0, *size))


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
