"""The registry of network architectures.

Each network has `forward_features` (images to the last feature maps, before pooling and dropout),
`forward_head` (feature maps to logits) and `forward`, which runs both.
"""

from collections.abc import Callable
from typing import Any

from torch import nn

from tinyrefinery.errors import RecipeError, check_options, look_up
from tinyrefinery.layers.initialize import initialize_as_pytorch, initialize_without_groups
from tinyrefinery.models.alexnet import AlexNet
from tinyrefinery.models.darknet19 import Darknet19
from tinyrefinery.models.densenet import densenet121, densenet_k12
from tinyrefinery.models.ds_cnn import DSCNN
from tinyrefinery.models.mobilenet_tiny import MobileNetTiny
from tinyrefinery.models.mobilenet_v1 import (
    mobilenet_v1_025,
    mobilenet_v1_050,
    mobilenet_v1_075,
    mobilenet_v1_100,
)
from tinyrefinery.models.mobilenet_v2 import mobilenet_v2_075, mobilenet_v2_100
from tinyrefinery.models.nasnet import nasnet_a
from tinyrefinery.models.resnet import resnet18, resnet34, resnet50
from tinyrefinery.models.resnet8 import ResNet8
from tinyrefinery.models.shufflenet_v2 import shufflenet_v2_050, shufflenet_v2_100
from tinyrefinery.models.skipblocknet import (
    skipblocknet_l,
    skipblocknet_m,
    skipblocknet_s,
    skipblocknet_s16,
    skipblocknet_xs,
)
from tinyrefinery.models.squeezenet import SqueezeNet
from tinyrefinery.models.street_cnn import StreetCNN
from tinyrefinery.models.timm_network import TIMM, timm_network
from tinyrefinery.models.vgg import vgg16, vgg19

MODELS: dict[str, Callable[..., nn.Module]] = {
    "alexnet": AlexNet,
    "darknet19": Darknet19,
    "densenet121": densenet121,
    "densenet_k12": densenet_k12,
    "ds_cnn": DSCNN,
    "mobilenet_tiny": MobileNetTiny,
    "mobilenet_v1_025": mobilenet_v1_025,
    "mobilenet_v1_050": mobilenet_v1_050,
    "mobilenet_v1_075": mobilenet_v1_075,
    "mobilenet_v1_100": mobilenet_v1_100,
    "mobilenet_v2_075": mobilenet_v2_075,
    "mobilenet_v2_100": mobilenet_v2_100,
    "nasnet_a": nasnet_a,
    "resnet8": ResNet8,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "shufflenet_v2_050": shufflenet_v2_050,
    "shufflenet_v2_100": shufflenet_v2_100,
    "squeezenet": SqueezeNet,
    "skipblocknet_l": skipblocknet_l,
    "skipblocknet_m": skipblocknet_m,
    "skipblocknet_s": skipblocknet_s,
    "skipblocknet_s16": skipblocknet_s16,
    "skipblocknet_xs": skipblocknet_xs,
    "street_cnn": StreetCNN,
    "vgg16": vgg16,
    "vgg19": vgg19,
}


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
    builder = look_up("model", name, MODELS, more=f"{TIMM}NAME for any model of timm")
    reserved = ("classes", "size", "channels")
    check_options("model", name, builder, options, reserved=reserved)
    try:
        network = builder(classes, size=height_width, channels=channels, **options)
    except (TypeError, ValueError) as error:  # an option of the wrong type or range
        raise RecipeError(f"model '{name}' can't be built with {options}: {error}") from error
    if init == "authors":
        AUTHORS[name](network)
    return network


def _check_init(name: str, init: Any) -> None:
    """Check that first weights can be drawn in the way that a recipe names."""
    if init != "authors":
        raise RecipeError(f"model '{name}': init is ours or authors, not {init!r}")
    if name not in AUTHORS:
        raise RecipeError(
            f"model '{name}': the papers' authors published no code of it, so there is no init: "
            f"authors. It is there for {', '.join(AUTHORS)}. Leave init out"
        )
