"""RandAugment (Cubuk et al., arXiv 1909.13719): a few random operations on each crop.

The operations and their strengths are torchvision's. `augmentation` draws them.
`tests/data/test_rand_augment.py` compares with torchvision.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from tinyrefinery.data.augmentation import OPERATIONS, TURNED

BINS = 31
"""Number of strengths, 0 to 30."""


def apply_operations(images: Tensor, chosen: np.ndarray, magnitude: int) -> Tensor:
    """Change each crop by its operations, one after the other.

    Args:
        images: (B, C, h, w) float in 0-255. Rounded to 8 bits first, as the operations need it.
        chosen: (B, n), of `augmentation.Crops.operations`.
        magnitude: how strong they are, 0 to 30.

    Returns:
        (B, C, h, w) float of whole numbers in 0-255.
    """
    changed = images.round().clamp(0, 255).to(torch.uint8)
    for i, numbers in enumerate(chosen.tolist()):
        for number in numbers:
            operation = OPERATIONS[abs(number) - 1]
            sign = -1.0 if number < 0 else 1.0
            changed[i] = apply_operation(changed[i], operation, magnitude, sign)
    return changed.to(images.dtype)


def apply_operation(image: Tensor, operation: str, magnitude: int, sign: float) -> Tensor:
    """One operation on a uint8 image (C, h, w).

    Args:
        image: what is changed.
        operation: one of `OPERATIONS`.
        magnitude: 0 to 30.
        sign: 1 or -1, for what has a direction.
    """
    if operation == "Color" and image.shape[0] == 1:
        return image  # gray pictures have no saturation
    share = magnitude / (BINS - 1)
    if operation in TURNED:
        return _turn(image, operation, sign * share)
    return _point_operation(operation, share, sign)(image)


def _turn(image: Tensor, operation: str, share: float) -> Tensor:
    """Shear, shift or rotate; `share` of the greatest strength, in [-1, 1]."""
    from torchvision.transforms import functional as F  # takes a moment to import

    height, width = image.shape[1:]
    if operation == "Rotate":
        return F.rotate(image, 30.0 * share)
    angle, shift, shear, center = 0.0, [0, 0], [0.0, 0.0], None
    if operation.startswith("Shear"):
        # From the top left corner, so that the first line or column stays where it is.
        degrees = float(np.degrees(np.arctan(0.3 * share)))
        shear, center = ([degrees, 0.0] if operation == "ShearX" else [0.0, degrees]), [0, 0]
    elif operation == "TranslateX":
        shift = [int(150.0 / 331.0 * width * share), 0]
    else:
        shift = [0, int(150.0 / 331.0 * height * share)]
    return F.affine(image, angle, shift, 1.0, shear, center=center)


def _point_operation(operation: str, share: float, sign: float) -> Callable[[Tensor], Tensor]:
    """An operation on colors or contours of a uint8 image (C, h, w)."""
    from torchvision.transforms import functional as F  # takes a moment to import

    factor = 1.0 + sign * 0.9 * share
    known: dict[str, Callable[[Tensor], Tensor]] = {
        "Identity": lambda image: image,
        "Brightness": partial(F.adjust_brightness, brightness_factor=factor),
        "Color": partial(F.adjust_saturation, saturation_factor=factor),
        "Contrast": partial(F.adjust_contrast, contrast_factor=factor),
        "Sharpness": partial(F.adjust_sharpness, sharpness_factor=factor),
        "Posterize": partial(F.posterize, bits=8 - round(4 * share)),
        "Solarize": partial(F.solarize, threshold=255.0 * (1 - share)),
        "AutoContrast": F.autocontrast,
        "Equalize": F.equalize,
    }
    return known[operation]
