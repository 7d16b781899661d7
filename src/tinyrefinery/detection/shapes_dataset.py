"""The generated detection dataset: colored discs, squares and triangles on noise.

It is for a quick start, for tests and for `--smoke`. Each image is a function of seed, split and
number.
"""

import numpy as np
import torch

from tinyrefinery import random
from tinyrefinery.data.images import ResidentImages
from tinyrefinery.data.manifest import SPLITS
from tinyrefinery.detection.boxes import BoxData, GroundTruth
from tinyrefinery.recipe.detection import Shapes

CLASSES = ("disc", "square", "triangle")
_EMPTY = 0.1  # share of images without an object, our choice
_SIZES = (0.2, 0.5)  # smallest and largest side of an object relative to the image
_ATTEMPTS = 20


def open_shapes(part: Shapes) -> BoxData:
    """Generate the dataset."""
    seed, side, most = part.seed, part.side, part.most
    counts = dict(zip(SPLITS, (part.train, part.validation, part.test), strict=True))
    names = [(split, number) for split, count in counts.items() for number in range(count)]
    drawn = [_image(seed, split, number, side, most) for split, number in names]
    pixels = np.stack([image for image, _ in drawn])
    return BoxData(
        name="shapes",
        classes=CLASSES,
        images=ResidentImages(torch.from_numpy(pixels)),
        ids=tuple(f"{random.key(seed, 'shapes', s, n, side, most):032x}" for s, n in names),
        paths=tuple(f"{split}-{number}" for split, number in names),
        splits=np.array([split for split, _ in names], dtype=str),
        truth=tuple(objects for _, objects in drawn),
    )


def _image(
    seed: int, split: str, number: int, side: int, most: int
) -> tuple[np.ndarray, GroundTruth]:
    """Pixels (3, side, side) uint8 and objects."""
    draw = random.generator(seed, f"shapes/{split}/{number}")
    image = draw.uniform(60, 200, (3, 1, 1)) + draw.normal(0, 20, (3, side, side))
    boxes: list[np.ndarray] = []
    labels: list[int] = []
    count = 0 if draw.random() < _EMPTY else int(draw.integers(1, most + 1))
    for _ in range(_ATTEMPTS):
        if len(boxes) == count:
            break
        size = round(side * draw.uniform(*_SIZES))
        left, top = (int(v) for v in draw.integers(0, side - size + 1, 2))
        box = np.array([left, top, left + size, top + size], np.float32)
        if any(_overlap(box, other) for other in boxes):
            continue
        labels.append(int(draw.integers(len(CLASSES))))
        boxes.append(box)
        inside = _mask(CLASSES[labels[-1]], size)
        ink = draw.choice([0, 255], (3, 1)) * 0.9 + draw.uniform(0, 25, (3, 1))
        image[:, top : top + size, left : left + size][:, inside] = ink
    pixels = image.clip(0, 255).astype(np.uint8)
    if not boxes:
        return pixels, GroundTruth.nothing()
    return pixels, GroundTruth(np.stack(boxes), np.array(labels), np.zeros(len(labels), bool))


def _mask(name: str, size: int) -> np.ndarray:
    """Pixels that a shape covers in its box, (size, size) bool."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    if name == "square":
        return np.ones((size, size), bool)
    if name == "disc":
        return (x - 0.5) ** 2 + (y - 0.5) ** 2 <= 0.25
    return np.abs(x - 0.5) <= y / 2


def _overlap(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((np.maximum(a[:2], b[:2]) < np.minimum(a[2:], b[2:])).all())
