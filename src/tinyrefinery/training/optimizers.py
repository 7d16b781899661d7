"""Optimizers by name, as PyTorch and timm have them."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from tinyrefinery.errors import RecipeError


def _rmsprop_tensorflow(parameters: Iterable[nn.Parameter], **settings: Any) -> Optimizer:
    from timm.optim import RMSpropTF  # timm takes a second to import

    return RMSpropTF(parameters, **settings)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "rmsprop_tensorflow": _rmsprop_tensorflow,
}


def create(
    name: str, parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]], **settings: object
) -> Optimizer:
    """An optimizer over `parameters`, or groups of them, with PyTorch's settings, e.g. `momentum`.

    Raises:
        RecipeError: when there is no optimizer of this name, or it refuses a setting.
    """
    if name not in OPTIMIZERS:
        raise RecipeError(f"optimizer: no '{name}' (known: {', '.join(OPTIMIZERS)})")
    try:
        fused = {} if name.startswith("rmsprop") else {"fused": True}  # one kernel for all weights
        return OPTIMIZERS[name](parameters, **(fused | settings))  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise RecipeError(f"optimizer '{name}': {error}") from error
