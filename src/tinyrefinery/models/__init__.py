"""The registry of network architectures.

Each network has `forward_features` (images to the last feature maps, before pooling and dropout),
`forward_head` (feature maps to logits) and `forward`, which runs both.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from torch import nn

from tinyrefinery.errors import RecipeError, check_options, look_up
from tinyrefinery.layers.initialize import initialize_as_pytorch, initialize_without_groups
from tinyrefinery.models.timm_network import TIMM, timm_network

MODELS = {
    "alexnet": "alexnet.AlexNet",
    "alexnet_xnor": "alexnet_xnor.AlexNetXnor",
    "bireal_small": "bireal_small.BirealSmall",
    "bireal_small_lcnn": "bireal_lcnn.bireal_small_lcnn",
    "darknet19": "darknet19.Darknet19",
    "densenet121": "densenet.densenet121",
    "densenet_k12": "densenet.densenet_k12",
    "ds_cnn": "ds_cnn.DSCNN",
    "mobilenet_tiny": "mobilenet_tiny.MobileNetTiny",
    "mobilenet_v1_025": "mobilenet_v1.mobilenet_v1_025",
    "mobilenet_v1_050": "mobilenet_v1.mobilenet_v1_050",
    "mobilenet_v1_075": "mobilenet_v1.mobilenet_v1_075",
    "mobilenet_v1_100": "mobilenet_v1.mobilenet_v1_100",
    "mobilenet_v2_075": "mobilenet_v2.mobilenet_v2_075",
    "mobilenet_v2_100": "mobilenet_v2.mobilenet_v2_100",
    "nasnet_a": "nasnet.nasnet_a",
    "resnet8": "resnet8.ResNet8",
    "resnet18": "resnet.resnet18",
    "resnet34": "resnet.resnet34",
    "resnet50": "resnet.resnet50",
    "resnet8_lcnn": "resnet_lcnn.resnet8_lcnn",
    "resnet18_lcnn": "resnet_lcnn.resnet18_lcnn",
    "resnet18_xnor": "resnet_xnor.resnet18_xnor",
    "resnet50_xnor": "resnet_xnor.resnet50_xnor",
    "shufflenet_v2_050": "shufflenet_v2.shufflenet_v2_050",
    "shufflenet_v2_100": "shufflenet_v2.shufflenet_v2_100",
    "squeezenet": "squeezenet.SqueezeNet",
    "skipblocknet_l": "skipblocknet.skipblocknet_l",
    "skipblocknet_m": "skipblocknet.skipblocknet_m",
    "skipblocknet_s": "skipblocknet.skipblocknet_s",
    "skipblocknet_s16": "skipblocknet.skipblocknet_s16",
    "skipblocknet_xs": "skipblocknet.skipblocknet_xs",
    "street_cnn": "street_cnn.StreetCNN",
    "vgg16": "vgg.vgg16",
    "vgg19": "vgg.vgg19",
}
"""Module in this package and builder of each architecture. It is imported when it is built: several
need torchvision, which is slow to import."""


AUTHORS: dict[str, Callable[[nn.Module], None]] = {
    "alexnet": initialize_as_pytorch,
    "resnet50": initialize_as_pytorch,
    "skipblocknet_l": initialize_without_groups,
    "skipblocknet_m": initialize_without_groups,
    "skipblocknet_s": initialize_without_groups,
    "skipblocknet_s16": initialize_without_groups,
    "skipblocknet_xs": initialize_without_groups,
}
"""How the papers' code draws first weights, for the networks that the authors published."""


def create(
    name: str,
    classes: int,
    *,
    size: int | tuple[int, int],
    channels: int = 3,
    init: str = "ours",
    **options: Any,
) -> nn.Module:
    """Build a new network in training mode, initialized with torch's current generator.

    Args:
        name: one of `MODELS`, or `timm:NAME` for any model of timm.
        classes: K, the number of logits.
        size: height, width of the images in pixels, or one number for both.
        channels: 1 or 3.
        init: `ours` or `authors`: how first weights are drawn. The latter as in the papers' code,
            for the networks in `AUTHORS`.
        options: further options of the architecture, e.g. `stem="small"`, `width=2`, or for timm
            `pretrained=True`.

    Raises:
        RecipeError: if the name, an option or the size is invalid. Lists the valid ones.
    """
    height_width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    if classes < 1 or channels < 1 or min(height_width) < 1:
        raise RecipeError(
            f"model '{name}': classes, channels and size must be positive, "
            f"got {classes}, {channels} and {height_width}"
        )
    if init != "ours":
        _check_init(name, init)
    if name.startswith(TIMM):
        return timm_network(
            name.removeprefix(TIMM), classes, size=height_width, channels=channels, **options
        )
    place = look_up("model", name, MODELS, more=f"{TIMM}NAME for any model of timm")
    builder = _builder(place)
    reserved = ("classes", "size", "channels")
    check_options("model", name, builder, options, reserved=reserved)
    try:
        network = builder(classes, size=height_width, channels=channels, **options)
    except (TypeError, ValueError) as error:  # an option of the wrong type or range
        raise RecipeError(f"model '{name}' can't be built with {options}: {error}") from error
    if init == "authors":
        AUTHORS[name](network)
    return network


def _builder(place: str) -> Callable[..., nn.Module]:
    module, name = place.split(".")
    return getattr(import_module(f"tinyrefinery.models.{module}"), name)


def _check_init(name: str, init: Any) -> None:
    """Check that first weights can be drawn in the way that a recipe names."""
    if init != "authors":
        raise RecipeError(f"model '{name}': init is ours or authors, not {init!r}")
    if name not in AUTHORS:
        raise RecipeError(
            f"model '{name}': the papers' authors published no code of it, so there is no init: "
            f"authors. It is there for {', '.join(AUTHORS)}. Leave init out"
        )
