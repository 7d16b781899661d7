"""Feature maps for losses that look at them, and what Bias Loss makes of them, in NumPy."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tests.losses.named import create

MORE = {"scaling": "variances", "formula": "checkpoints", "clamp": None}
BIAS = [
    ("bias", {}),
    ("bias", {"scaling": "variances"}),
    ("bias", {"scaling": "variances", "mean_normalized": True}),
    ("bias", {"scaling": "running_minimum", "clamp": None}),
    ("bias", MORE),
]
"""Name and options of its variants."""


def maps(rows: int) -> Tensor:
    """(rows, 3, 2, 4) float64 like the output of a ReLU, of unlike variances."""
    random = np.random.default_rng(rows)
    values = random.normal(size=(rows, 3, 2, 4)) * np.linspace(0.5, 3, rows)[:, None, None, None]
    return torch.tensor(np.maximum(values, 0))


def bound(name: str, options: dict) -> Callable[[Tensor, object], Tensor]:
    """The loss with feature maps that fit the batch."""
    loss = create(name, **options)
    return lambda logits, targets: loss(logits, targets, maps(len(logits)))


def bias_weights(
    features: np.ndarray,
    *,
    alpha: float = 0.3,
    beta: float = 0.3,
    scaling: str = "activations",
    formula: str = "paper",
    clamp: tuple[float, float] | None = (0.5, 1.5),
    mean_normalized: bool = False,
    so_far: float = np.inf,
) -> np.ndarray:
    """The weight of each crop, one after the other, from the definitions.

    `so_far` is the least variance of the batches before.
    """
    variances = []
    for each in features.reshape(len(features), -1):
        center = sum(each) / len(each)
        variances.append(sum((number - center) ** 2 for number in each) / (len(each) - 1))
    edges = features.reshape(-1) if scaling == "activations" else variances
    least, most = min(edges), max(edges)
    floor = min(so_far, least) if scaling == "running_minimum" else least
    found = []
    for variance in variances:
        v = (variance - floor) / (most - least) if most > least else 0.0
        z = np.exp(alpha * v) - beta if formula == "paper" else np.exp(beta * v) - 1 + alpha
        found.append(min(max(z, clamp[0]), clamp[1]) if clamp else z)
    mean = sum(found) / len(found) if mean_normalized else 1.0
    return np.array(found) / mean
