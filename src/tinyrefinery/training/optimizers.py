"""Optimizers by name, as PyTorch has them."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from tinyrefinery.errors import RecipeError

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
}


def create(
    name: str, parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]], **settings: object
) -> torch.optim.Optimizer:
    """An optimizer over `parameters`, or groups of them, with PyTorch's settings, e.g. `momentum`.

    Raises:
        RecipeError: when there is no optimizer of this name, or it refuses a setting.
    """
    if name not in OPTIMIZERS:
        raise RecipeError(f"optimizer: no '{name}' (known: {', '.join(OPTIMIZERS)})")
    try:
        fused = {} if name == "rmsprop" else {"fused": True}  # one kernel for all weights
        return OPTIMIZERS[name](parameters, **(fused | settings))  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise RecipeError(f"optimizer '{name}': {error}") from error
