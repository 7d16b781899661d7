"""Our networks in timm: after `register()`, use `timm.create_model("tinyrefinery_resnet8")`."""

from collections.abc import Callable
from typing import Any

from torch import nn

from tinyrefinery.errors import RecipeError
from tinyrefinery.models import MODELS, create

PREFIX = "tinyrefinery_"
"""Prefix of the names in timm, which avoids clashes with timm's own."""

# timm adds the registered names to the module's __all__, so it must exist.
__all__ = ["PREFIX", "register"]


def register() -> list[str]:
    """Register all of `MODELS` in timm. Safe to repeat.

    `timm.create_model` then takes `num_classes`, `in_chans`, `img_size` (a number or height and
    width, default 224) and the architecture's options. There are no pretrained weights.

    Returns:
        The names in timm.
    """
    import timm
    from timm.models import register_model

    names = [PREFIX + name for name in MODELS]
    for name, full in zip(MODELS, names, strict=True):
        if not timm.is_model(full):
            register_model(_entry_point(name, full))
    return names


def _entry_point(name: str, full: str) -> Callable[..., nn.Module]:
    def build(
        pretrained: bool = False,
        num_classes: int = 1000,
        in_chans: int = 3,
        img_size: int | tuple[int, int] = 224,
        pretrained_cfg: Any = None,
        pretrained_cfg_overlay: Any = None,
        cache_dir: Any = None,
        **options: Any,
    ) -> nn.Module:
        """Build the network from timm's arguments."""
        if pretrained:
            raise RecipeError(f"{full}: there are no pretrained weights")
        return create(name, num_classes, size=img_size, channels=in_chans, **options)

    build.__name__ = full
    return build
