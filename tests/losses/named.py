"""Losses by name, with the defaults of a recipe."""

from typing import Any, get_args

from tinyrefinery import losses
from tinyrefinery.options.losses import Loss

PARTS = {part.model_fields["name"].default: part for part in get_args(get_args(Loss)[0])}


def create(name: str, **options: Any) -> Any:
    """The loss of that name, its other options as a recipe has them by default."""
    return losses.build(PARTS[name](**options))
