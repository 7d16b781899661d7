"""A small data set for tests of everything that comes after the data."""

import numpy as np
import pyarrow as pa
import torch

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.images import ResidentImages
from tinyrefinery.data.manifest import Manifest


def stripes(n=120, classes=3, size=16, channels=1, seed=0):
    """Noisy stripes whose direction and width tell the class; two thirds train."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    y, x = np.mgrid[:size, :size] / size
    angle = np.pi * labels / classes
    phase = rng.uniform(0, 2 * np.pi, n)
    wave = np.cos(angle)[:, None, None] * x + np.sin(angle)[:, None, None] * y
    image = 128 + 80 * np.sin(4 * np.pi * wave + phase[:, None, None])
    image = (image + rng.normal(0, 20, image.shape)).clip(0, 255).astype(np.uint8)
    array = torch.from_numpy(image)[:, None].repeat(1, channels, 1, 1)
    split = np.where(
        np.arange(n) % 6 < 4, "train", np.where(np.arange(n) % 6 == 4, "validation", "test")
    )
    table = pa.table(
        {
            "id": pa.array([f"{i:064x}" for i in range(n)]),
            "path": pa.array([f"stripes/{i}" for i in range(n)]),
            "label": pa.array(labels, pa.int64()),
            "split": pa.array(split.tolist()),
        }
    )
    names = tuple(f"direction {c}" for c in range(classes))
    return Dataset("stripes", Manifest(table, names), ResidentImages(array))
