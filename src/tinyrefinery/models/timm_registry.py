"""Our networks by timm's door: after `register()`, `timm.create_model("tinyrefinery_resnet8")`."""

from collections.abc import Callable
from typing import Any

from torch import nn

from tinyrefinery.errors import RecipeError
from tinyrefinery.models import MODELS, create

PREFIX = "tinyrefinery_"
"""Begins the names, so that none hides one of timm's."""

# timm records the names that a module registers in the module's __all__.
__all__ = ["PREFIX", "register"]


def register() -> list[str]:
    """Make every name of `MODELS` known to timm; doing it twice does no harm.

    `timm.create_model` then takes `num_classes`, `in_chans`, `img_size` (224 if not given; a number
    or height and width) and the architecture's own options. There are no pretrained weights.

    Returns:
        The names under which timm knows them.
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
        """The network as timm asks for it."""
        if pretrained:
            raise RecipeError(f"{full}: there are no pretrained weights")
        return create(name, num_classes, size=img_size, channels=in_chans, **options)

    build.__name__ = full
    return build
